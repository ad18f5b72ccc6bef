//! Groups of more than one chunk.
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::common::{Root, probes};
use errgroup::ErrGroup;

// R2, H2
#[test]
fn a_chunk_whose_woken_tasks_are_aborted_holds_up_no_poll() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    let spawner = group.spawner();
    let probes = probes(70);
    for probe in &probes {
        group.spawn(probe.task());
    }
    assert!(root.poll(&mut group).is_pending());
    probes[69].wake();
    spawner.abort_all();
    assert_eq!(root.poll(&mut group), Poll::Ready(Ok(())));
}

// R2
#[test]
fn a_chunk_that_was_polled_before_its_token_holds_up_no_poll() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    let spawner = group.spawner();
    let probes = probes(69);
    let waker = Arc::new(Mutex::new(None::<Waker>));
    let (far, theirs) = (probes[68].clone(), waker.clone());
    group.spawn(poll_fn(move |cx| {
        if theirs.lock().unwrap().replace(cx.waker().clone()).is_some() {
            far.wake();
            spawner.spawn(async { Ok(()) });
        }
        Poll::Pending
    }));
    for probe in &probes {
        group.spawn(probe.task());
    }
    assert!(root.poll(&mut group).is_pending());
    waker.lock().unwrap().as_ref().unwrap().wake_by_ref();
    assert!(root.poll(&mut group).is_pending());
    assert_eq!(probes[68].polls(), 2);
}
