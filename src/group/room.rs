//! Those who wait until a group has room, on `event-listener`.

use alloc::task::Wake;
use alloc::vec::Vec;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use crate::util::panic::{sequence, wake_all};
use crate::util::sync::atomic::Ordering::SeqCst;
use crate::util::sync::atomic::fence;
use crate::util::sync::{Arc, Event, EventListener, Lock, SetOnce};
use crate::util::waker::WakerCell;

/// Wakes everyone who waits, whenever something has changed.
///
/// An [`Event`] wakes while its list is locked, also when a listener that was notified is dropped.
/// A waker is code of the user, and may do to the same list whatever it likes. So what the event
/// wakes is a [`Relay`], which only moves the user's waker to the `outbox`; and whoever has called
/// the event drains the outbox afterwards.
#[derive(Default)]
pub(crate) struct Room {
    event: Event,
    /// Made with the first who waits.
    outbox: SetOnce<Arc<Outbox>>,
}

type Outbox = Lock<Vec<Waker>>;

impl Room {
    pub(crate) fn notify(&self) {
        // The other fence is in `Waiting::poll`: either the outbox of the first who waits is seen
        // here, or what was done before is seen there.
        fence(SeqCst);
        if self.outbox.get().is_some() {
            self.event.notify(usize::MAX);
            self.drain();
        }
    }

    fn outbox(&self) -> Arc<Outbox> {
        loop {
            if let Some(outbox) = self.outbox.get() {
                return outbox.clone();
            }
            // Of several at once the first wins.
            self.outbox.set(Arc::default());
        }
    }

    fn drain(&self) {
        if let Some(outbox) = self.outbox.get() {
            wake_all(outbox.with(mem::take));
        }
    }
}

/// Takes a wake under the lock of the event, and hands it on.
struct Relay {
    waker: WakerCell,
    outbox: Arc<Outbox>,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(waker) = self.waker.take() {
            self.outbox.with(|wakers| wakers.push(waker));
        }
    }
}

/// Somebody who waits.
pub(crate) struct Waiting<'a> {
    room: &'a Room,
    listener: Option<EventListener>,
    /// Outlives the listener, so that the event never drops the last of it, with the user's waker.
    relay: Option<(Arc<Relay>, Waker)>,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(room: &'a Room) -> Self {
        Waiting {
            room,
            listener: None,
            relay: None,
        }
    }

    /// Waits until `condition` gives something: check, listen, check, wait.
    pub(crate) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        condition: impl Fn() -> Option<R>,
    ) -> Poll<R> {
        loop {
            if let Some(result) = condition() {
                return Poll::Ready(result);
            }
            let Some(listener) = &mut self.listener else {
                self.room.outbox();
                fence(SeqCst);
                self.listener = Some(self.room.event.listen());
                continue;
            };
            let (relay, waker) = self.relay.get_or_insert_with(|| {
                let relay = Arc::new(Relay {
                    waker: WakerCell::default(),
                    outbox: self.room.outbox(),
                });
                (relay.clone(), Waker::from(relay))
            });
            relay.waker.register(cx.waker());
            let poll = Pin::new(listener).poll(&mut Context::from_waker(waker));
            self.room.drain();
            match poll {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.listener = None,
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // One that was notified hands that on, and so wakes somebody else.
        self.listener = None;
        sequence(|steps| {
            steps.run(|| self.room.drain());
            steps.run(|| {
                drop(
                    self.relay
                        .as_ref()
                        .and_then(|(relay, _)| relay.waker.take()),
                )
            });
        });
    }
}
