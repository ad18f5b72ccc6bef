//! What tasks with handles leave behind, in bytes.

use std::future::pending;

use crate::allocator::bytes;
use crate::common::{Probe, Root, yields};
use errgroup::{ErrGroup, ErrSpawner, Started};

type Spawner = ErrSpawner<'static, (), ()>;
type Spawns = fn(&Spawner, &Root);

const TASKS: usize = 100_000;
/// How many are alive at a time.
const BATCH: usize = 100;

/// Every way to spawn, and every way to end.
const WAYS: [(&str, Spawns); 12] = [
    ("aborted while running, after a poll", |s, _| {
        // Aborted by a sibling, which runs after it.
        let handle = s.spawn_with_handle(pending::<Result<(), ()>>());
        s.spawn(async move {
            yields(1).await;
            handle.abort();
            Ok(())
        });
    }),
    ("aborted while queued", |s, _| {
        s.spawn_with_handle(pending::<Result<(), ()>>()).abort();
    }),
    ("aborted by itself at its end", |s, _| {
        let (give, get) = futures::channel::oneshot::channel::<errgroup::TaskHandle<()>>();
        let handle = s.spawn_with_handle(async {
            get.await.unwrap().abort();
            Ok(())
        });
        give.send(handle).ok().unwrap();
    }),
    ("detached", |s, _| {
        drop(s.spawn_with_handle(async {
            yields(1).await;
            Ok([0_u8; 64])
        }));
    }),
    ("awaited", |s, _| {
        let handle = s.spawn_with_handle(async {
            yields(1).await;
            Ok(vec![0_u8; 64])
        });
        s.spawn(async move {
            handle.await.unwrap();
            Ok(())
        });
    }),
    ("in the background, ended", |s, _| {
        s.spawn_background(async {
            yields(1).await;
            Ok(())
        });
    }),
    ("named", |s, _| {
        s.spawn_named("a name".to_string(), yields_ok(1));
    }),
    ("named, unnamed beside", |s, _| {
        s.spawn_named("static", yields_ok(2));
        s.spawn(yields_ok(1));
    }),
    ("started, and up", |s, root| {
        let start = s.start(async |started: Started<Vec<u8>>| {
            yields(1).await;
            started.ready(vec![0; 64]);
            yields(1).await;
            Ok(())
        });
        assert!(root.poll_new(start).is_pending());
    }),
    ("started, and never up", |s, root| {
        let start = s.start(async |started: Started<Vec<u8>>| {
            yields(1).await;
            drop(started);
            Ok(())
        });
        assert!(root.poll_new(start).is_pending());
    }),
    ("never started", |s, _| {
        drop(s.start(async |_: Started<()>| Ok(())));
    }),
    ("started by a task", |s, _| {
        let spawner = s.clone();
        s.spawn(async move {
            let up = spawner.start(async |started: Started<u8>| {
                started.ready(1);
                Ok(())
            });
            assert_eq!(up.await, Ok(1));
            Ok(())
        });
    }),
];

async fn yields_ok(times: usize) -> Result<(), ()> {
    yields(times).await;
    Ok(())
}

// H2, H3, H4, H5
#[test]
fn tasks_of_every_kind_leave_nothing_behind() {
    let root = Root::new();
    let mut group = ErrGroup::<(), ()>::new();
    let spawner = group.spawner();
    let stays = Probe::new();
    group.spawn(stays.task());

    for (way, spawn) in WAYS {
        let mut round = || {
            for _ in 0..BATCH {
                spawn(&spawner, &root);
            }
            while {
                root.wakes();
                assert!(root.poll(&mut group).is_pending());
                root.wakes() > 0
            } {}
            assert_eq!(group.len(), 1, "{way}");
        };
        // What is kept for the next tasks is allowed for.
        round();
        let before = bytes();
        for _ in 0..TASKS / BATCH {
            round();
        }
        let left = bytes() - before;
        // The group keeps one empty chunk, with its wakers, and which one it is may change.
        assert!(left < 8192, "{way}: {left} bytes are left of {TASKS} tasks");
    }

    // Handles, names and background tasks of a group that is dropped.
    let before = bytes();
    for polled in [false, true] {
        let mut group = ErrGroup::<(), ()>::new().limit(50);
        let spawner = group.spawner();
        let mut handles = Vec::new();
        for _ in 0..200 {
            let own = spawner.clone();
            spawner.spawn_background(async move {
                let _own = own;
                pending().await
            });
            let own = spawner.clone();
            spawner.spawn_named("named".to_string(), async move {
                let _own = own;
                pending().await
            });
            handles.push(spawner.spawn_with_handle(pending::<Result<Vec<u8>, ()>>()));
            let own = spawner.clone();
            let start = spawner.start(async move |started: Started<()>| {
                let _own = (own, started);
                pending().await
            });
            assert!(root.poll_new(start).is_pending());
        }
        if polled {
            while {
                root.wakes();
                assert!(root.poll(&mut group).is_pending());
                root.wakes() > 0
            } {}
        }
        drop(group);
        assert!(handles.iter().all(errgroup::TaskHandle::is_finished));
    }
    let left = bytes() - before;
    assert_eq!(left, 0, "bytes are left of groups that were dropped");
}
