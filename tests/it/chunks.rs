//! Groups of more than one chunk.
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use crate::common::{Root, probes, restless, yields};
use errgroup::{ErrGroup, scope};

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
fn a_chunk_that_gets_a_task_between_its_wake_and_its_turn_holds_up_no_poll() {
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

// R8
#[test]
fn a_chunk_that_is_filled_again_in_the_poll_that_empties_it_stays() {
    let root = Root::new();
    let places = 4 * usize::BITS as usize;
    let probes = probes(2 * places);
    let mut group = ErrGroup::<(), ()>::new().limit(places);
    group.extend(probes.iter().map(|probe| probe.task()));
    let settle = |group: &mut ErrGroup<'_, (), ()>| {
        while {
            root.wakes();
            assert!(root.poll(group).is_pending());
            root.wakes() > 0
        } {}
    };
    settle(&mut group);
    probes[..places]
        .iter()
        .for_each(|probe| probe.finish(Ok(())));
    settle(&mut group);
    for (index, probe) in probes.iter().enumerate() {
        assert_eq!(
            (probe.polls(), probe.is_dropped()),
            if index < places {
                (2, true)
            } else {
                (1, false)
            }
        );
    }
    probes[places..]
        .iter()
        .for_each(|probe| probe.finish(Ok(())));
    assert_eq!(root.run(group).0, Ok(()));
}

// R2, R13: the body stays, so that the chunks do, too
#[test]
fn a_chunk_whose_woken_tasks_are_aborted_by_a_body_holds_up_no_poll() {
    let polls = Arc::new(AtomicUsize::new(0));
    let scope = scope(async |s| {
        for _ in 0..3 {
            for _ in 0..200 {
                s.spawn(pending());
                s.spawn(restless(&polls));
            }
            yields(5).await;
            s.abort_all();
            yields(1).await;
            assert_eq!((s.len(), s.running()), (0, 0));
        }
        for _ in 0..200 {
            s.spawn(async {
                yields(1).await;
                Ok(())
            });
        }
        Ok::<_, ()>(5)
    });
    let (result, rounds) = Root::new().run(scope);
    assert_eq!(result, Ok(5));
    assert!(rounds < 40, "{rounds}");
    assert!(polls.load(SeqCst) < 600 * rounds);
}

// R3, R7
#[test]
fn wakes_of_tasks_that_a_failure_or_an_abort_has_dropped_wake_nobody() {
    for aborts in [false, true] {
        let root = Root::new();
        let mut group = ErrGroup::<(), ()>::new();
        let probes = probes(300);
        for probe in &probes {
            group.spawn(probe.task());
        }
        while root.poll(&mut group).is_pending() && root.wakes() > 0 {}
        if aborts {
            group.abort_all();
        } else {
            probes[150].finish(Err(()));
            assert_eq!(root.poll(&mut group), Poll::Ready(Err(())));
        }
        assert!(probes.iter().all(|probe| probe.is_dropped()));
        for _ in 0..300 {
            group.spawn(pending());
        }
        while root.poll(&mut group).is_pending() && root.wakes() > 0 {}
        for probe in &probes {
            probe.wake();
            assert_eq!(root.wakes(), 0);
        }
    }
}
