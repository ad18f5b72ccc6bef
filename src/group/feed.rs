//! What the engine has to know of a group: which task is next, how tasks are polled, and where their
//! outcomes go.

use alloc::boxed::Box;
use core::future::Future;
use core::mem::needs_drop;
use core::pin::Pin;
use core::task::{Context, Poll};

use crate::engine::{Done, Source};
use crate::group::aim::Aim;
use crate::group::outcomes::Outcomes;
use crate::group::queue::Queue;
use crate::group::shared::{BODY, Hub, Shared};
use crate::util::panic::{discard, sequence};
use crate::util::sync::{Payload, catch};

/// What the engine has to know of a group.
pub(super) struct Feed<T, E, F> {
    pub(super) queue: Queue<F>,
    /// The outcome of the task that ended last.
    pub(super) ended: Option<(usize, Result<T, E>)>,
    /// What is kept for whoever asks.
    pub(super) kept: Option<Box<Outcomes<T, E>>>,
    /// What the group is driven for, or was driven for the last time.
    pub(super) aim: Aim,
    /// Makes an error of a panic, if panics are to be caught.
    pub(super) catch: Option<fn(Payload) -> E>,
}

impl<T, E, F> Source<F, Shared> for Feed<T, E, F>
where
    F: Future<Output = Option<Result<T, E>>> + Unpin,
{
    #[inline]
    fn is_startable(&self, hub: &Hub) -> bool {
        (self.queue.has_regular() && hub.has_slot()) || self.queue.has_express()
    }

    #[inline]
    fn has_news(&self, hub: &Hub) -> bool {
        hub.shared.is_asked() || hub.is_idle()
    }

    #[inline(always)]
    fn next(&mut self, hub: &Hub, _: &mut Context<'_>) -> Option<(usize, F)> {
        if self.queue.has_express() {
            if let Some(body) = self.queue.take_body() {
                return Some((BODY, body));
            }
            // Of those that may start, the one that was spawned first.
            if !(hub.has_slot() && self.queue.regular_is_first()) {
                if let Some(first) = self.queue.pop_express(&hub.shared) {
                    return Some(first);
                }
            }
        }
        match hub.has_slot() {
            true => self.queue.pop_regular(),
            false => None,
        }
    }

    #[inline]
    fn poll(
        &mut self,
        _: &Hub,
        _: usize,
        task: &mut F,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<T, E>>> {
        match self.catch {
            None => Pin::new(task).poll(cx),
            Some(convert) => catch(|| Pin::new(task).poll(cx))
                .unwrap_or_else(|payload| Poll::Ready(Some(Err(convert(payload))))),
        }
    }

    #[inline]
    fn has_left(&mut self, hub: &Hub, index: usize) {
        if index != BODY {
            hub.shared.leave(1);
        }
    }

    #[inline(always)]
    fn is_done(&mut self, done: Done<F>) -> bool {
        // Most outcomes are good, and change nothing.
        match done.output {
            Some(Ok(value)) if self.aim.goes_on() && self.catch.is_none() => {
                if self.aim.keeps_outcomes() {
                    self.keep(done.index, value);
                    drop(done.task);
                } else if needs_drop::<T>() {
                    // The destructors of both may panic.
                    sequence(|steps| {
                        steps.run(|| drop(done.task));
                        steps.run(|| drop(value));
                    });
                } else {
                    drop(done.task);
                }
                false
            }
            output => self.has_ended(done.index, output, done.task),
        }
    }
}

impl<T, E, F> Feed<T, E, F> {
    #[inline]
    fn keep(&mut self, index: usize, value: T) {
        self.kept.get_or_insert_default().push_value(index, value);
    }

    /// Takes the outcome of a task, if it has one, and drops it. True if somebody has to look at
    /// that.
    #[inline(never)]
    pub(super) fn has_ended(
        &mut self,
        index: usize,
        output: Option<Result<T, E>>,
        task: F,
    ) -> bool {
        self.ended = output.map(|outcome| (index, outcome));
        match self.catch {
            None => drop(task),
            Some(convert) => {
                if let Err(payload) = catch(|| drop(task)) {
                    // What came first stays the root cause.
                    if let Some((_, Err(_))) = self.ended {
                        discard(payload);
                    } else {
                        self.ended = Some((index, Err(convert(payload))));
                    }
                }
            }
        }
        match self.ended {
            None => false,
            Some((_, Ok(_))) if self.aim.goes_on() => {
                if let Some((index, Ok(value))) = self.ended.take() {
                    if self.aim.keeps_outcomes() {
                        self.keep(index, value);
                    }
                }
                false
            }
            Some(_) => true,
        }
    }
}
