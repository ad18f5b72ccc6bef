//! What has become of the items, and a bar that shows it.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IsTerminal};

const WIDTH: u32 = 40;

pub(crate) struct Progress {
    items: u32,
    pub(crate) started: Cell<u32>,
    pub(crate) running: Cell<u32>,
    pub(crate) done: Cell<u32>,
    /// Whether there is a terminal to draw on.
    drawn: bool,
}

impl Progress {
    pub(crate) fn new(items: u32) -> Self {
        Progress {
            items,
            started: Cell::new(0),
            running: Cell::new(0),
            done: Cell::new(0),
            drawn: io::stderr().is_terminal(),
        }
    }

    pub(crate) fn never_started(&self) -> u32 {
        self.items - self.started.get()
    }

    fn show(&self) {
        if self.drawn {
            let full = (self.done.get() * WIDTH / self.items) as usize;
            let bar = format!("{:1$}", "#".repeat(full), WIDTH as usize);
            eprint!("\r[{bar}] {self}\x1b[K");
        }
    }

    /// Wipes the bar away.
    pub(crate) fn clear(&self) {
        if self.drawn {
            eprint!("\r\x1b[K");
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, running) = (self.done.get(), self.running.get());
        let queued = self.never_started();
        write!(f, "{done} done, {running} running, {queued} queued")
    }
}

/// A job that runs, until it is dropped.
pub(crate) struct Running<'a>(&'a Progress);

impl<'a> Running<'a> {
    pub(crate) fn new(progress: &'a Progress) -> Self {
        progress.started.set(progress.started.get() + 1);
        progress.running.set(progress.running.get() + 1);
        progress.show();
        Running(progress)
    }

    pub(crate) fn done(self) {
        self.0.done.set(self.0.done.get() + 1);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        self.0.show();
    }
}
