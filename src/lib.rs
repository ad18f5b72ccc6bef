//! Runs fallible futures together, on any executor, without spawning: a group succeeds as one or
//! fails as one, and its tasks may borrow from the stack.
//!
//! ```toml
//! [dependencies]
//! errgroup = "0.1"
//! # From the repository: { git = "https://github.com/errgroup-rs/errgroup" }
//! ```
//!
//! ```
//! use errgroup::ErrGroup;
//!
//! # futures::executor::block_on(async {
//! let words = ["one".to_string(), "two".to_string(), "three".to_string()];
//!
//! let mut group = ErrGroup::<usize, std::io::Error>::new().limit(2);
//! for word in &words {
//!     group.spawn(async { Ok(word.len()) });
//! }
//! assert_eq!(group.collect().await?, [3, 3, 5]);
//! # Ok::<_, std::io::Error>(())
//! # }).unwrap();
//! ```
//!
//! A group is one future. It polls its tasks itself, so it needs no executor of its own: it runs
//! on smol, async-std, tokio, [embassy](#running-under-embassy) or a bare `block_on`. Nothing runs
//! before it is polled, and nothing after it is dropped.
//!
//! # Why not `JoinSet` or `FuturesUnordered`?
//!
//! - tokio's `JoinSet` spawns. So it needs tokio, its tasks may not borrow, cannot spawn siblings,
//!   and run on when one has failed, until you abort them. It uses several cores, which a group
//!   does not do by itself.
//! - `FuturesUnordered` is polled in place, as a group is, and is the bare set. A limit, values in
//!   order, spawning from inside, a cause for the siblings and time for their goodbye are left to
//!   you. Under tokio's budget [at least half of 64 busy readers starve](#running-under-tokio) in it.
//!
//! These and others are [compared](#compared-with) below, and [what it costs][costs] is measured.
//!
//! [costs]: https://github.com/errgroup-rs/errgroup#what-it-costs
//!
//! # What an error does
//!
//! | | .await, collect | wait_all, settle | first_ok | ready, drive | next, results |
//! |---|---|---|---|---|---|
//! | [new()](Group::new) | the first error drops siblings and queue, and is returned in the same poll | everything runs to its end | the first success drops the rest | the first error drops siblings and queue, and is kept for the finishing call; `false` / `None` | every outcome; you decide |
//! | [.keep_going()](Group::keep_going) | everything runs; then the first error | same | same | outcomes are kept | same |
//! | [with_context](Group::with_context) | the first error cancels the context and drops the queue; running tasks are polled until they return | the first error cancels the context; queued tasks still start, and see it | errors cancel nothing | as in the first column; `false` / `None` at once | same |
//! | [with_grace](Group::with_grace) | the same, and what still runs when the grace is over is dropped; without an error before, the result is `E::from(reason)` | the same; a dropped or queued task's outcome is `E::from(reason)` | such outcomes count as errors | as above | such outcomes are yielded, lowest index first |
//!
//! The failure is always the first error in time, the root cause: what siblings say when they are
//! cancelled because of it never replaces it.
//!
//! # What is here
//!
//! - [`ErrGroup`], and [`LocalErrGroup`] for tasks that are not `Send`: both are [`Group`], whose
//!   methods they share. [`Results`] is its stream of outcomes.
//! - [`ErrSpawner`] and [`LocalErrSpawner`], to spawn from elsewhere, also from tasks: both are
//!   [`Spawner`]. A [`KeepOpen`] keeps a group from being done while they have more to come.
//!   What they tell: [`running`](Group::running), [`queued`](Group::queued), [`len`](Group::len),
//!   [`current_limit`](Group::current_limit), [`is_closed`](Group::is_closed).
//! - [`scope()`], [`local_scope`], [`scope_in`], [`local_scope_in`]: a body that spawns. They are
//!   short ways to [`Group::scope`], with which a scope can have a limit and whatever else a group
//!   can.
//! - [`TaskHandle`] for the value of one task, [`AbortHandle`] and [`AbortOnDrop`] to stop one,
//!   and [`Started`] for tasks that say when they are up.
//! - [`CancelContext`]: cancellation that goes down a tree, with a reason. It works without
//!   groups, too.
//! - [`Semaphore`]: weighted, and strictly fair; its capacity can
//!   [change](Semaphore::set_capacity).
//! - [`try_map`], [`try_for_each`], and [`try_map_stream`], [`try_for_each_stream`] for streams:
//!   the same work on many items, so many at a time, in order, without a box for each.
//!   [`buffered`] and [`buffer_unordered`] give the outputs as a stream.
//! - The errors: [`Cancelled`], [`Errors`], whose [`report`](Errors::report) and
//!   [`report_with`](Errors::report_with) write each with its sources, [`TrySpawnError`],
//!   [`StartError`], [`TooLarge`], [`Panicked`](struct.Panicked.html).
//! - [`flavor`], for code that is generic over [`ErrGroup`] and [`LocalErrGroup`].
//! - [Recipes](recipes): servers with `select!`, supervisors, hedged requests, timeouts, and more.
//!
//! What is called how elsewhere is in two tables of the README: [from Go to here][go], and [from
//! tokio and futures to here][tokio], with moro and trio.
//!
//! [go]: https://github.com/errgroup-rs/errgroup#from-go-to-here
//! [tokio]: https://github.com/errgroup-rs/errgroup#from-tokio-and-futures-to-here
//!
//! # Driving a group while doing something else
//!
//! While you await something else, nobody polls the group: its tasks stand still, whatever they
//! hold. This loop serves nobody while it waits for the next connection:
//!
//! ```no_run
//! # use errgroup::ErrGroup; use smol::net::{TcpListener, TcpStream}; use std::io;
//! # async fn serve(stream: TcpStream) -> io::Result<()> { Ok(()) }
//! # async fn naive(listener: TcpListener) -> io::Result<()> {
//! let mut group = ErrGroup::new();
//! loop {
//!     let (stream, _) = listener.accept().await?; // Wrong.
//!     group.spawn(serve(stream));
//! }
//! # }
//! ```
//!
//! So whatever the code around a group waits for goes through [`drive`](Group::drive), and room
//! for the next task comes from [`ready`](Group::ready):
//!
//! ```no_run
//! # use errgroup::ErrGroup; use smol::net::{TcpListener, TcpStream}; use std::io;
//! # async fn serve(stream: TcpStream) -> io::Result<()> { Ok(()) }
//! # async fn good(listener: TcpListener) -> io::Result<()> {
//! let mut group = ErrGroup::new().limit(1000);
//! while group.ready().await {
//!     let Some(accepted) = group.drive(listener.accept()).await else {
//!         break; // A task has failed.
//!     };
//!     group.spawn(serve(accepted?.0));
//! }
//! group.await
//! # }
//! ```
//!
//! What goes wrong otherwise has names: *futurelock*, when a task that stands still holds the lock
//! or the permit that the loop waits for; or just a service that answers nobody while it waits.
//!
//! Awaiting the group in one branch of a `select!`, through `&mut`, is another way. It is cancel
//! safe: nothing is lost when another branch wins. But it discards values, and it ends when the
//! group is empty. A group is a [`FusedFuture`](futures::future::FusedFuture), so an empty one
//! that has returned is passed over until something is spawned:
//!
//! ```
//! # use errgroup::ErrGroup; use futures::{StreamExt, channel::mpsc, select};
//! # futures::executor::block_on(async {
//! # let (sender, jobs) = mpsc::unbounded::<u32>();
//! # sender.unbounded_send(1).unwrap(); drop(sender);
//! let mut jobs = jobs.fuse();
//! let mut group = ErrGroup::<(), std::io::Error>::new();
//! loop {
//!     select! {
//!         result = &mut group => result?, // A failure, or nothing left to do.
//!         job = jobs.next() => match job {
//!             Some(job) => group.spawn(async move { println!("{job}"); Ok(()) }),
//!             None => break,
//!         },
//!     }
//! }
//! group.await
//! # }).unwrap();
//! ```
//!
//! To see each outcome in such a loop, use [`next`](Group::next). It is ready with `None` while
//! the group is empty; with a [`KeepOpen`] it waits instead. The [recipes] show the whole of a
//! server, for `tokio::select!` and for `futures::select!`.
//!
//! [`results()`](Group::results) promises nothing of the kind: while the code that takes outcomes
//! from it awaits something else, the tasks stand still. Neither do [`buffered`] and
//! [`buffer_unordered`].
//!
//! # Scopes
//!
//! A group of like tasks is half of structured concurrency. The other half is a body that starts
//! different tasks, waits for some of them, and ends when all have ended. In a [`scope()`] the body
//! is polled as one of the tasks, when it was woken: there is nothing it could await that would
//! stop the others. It ends its scope early with an error, or with
//! [`abort_all`](Spawner::abort_all) and a value.
//!
//! ```
//! use errgroup::scope;
//! use futures::{SinkExt, StreamExt, channel::mpsc};
//!
//! # futures::executor::block_on(async {
//! let sum = scope(async |s| {
//!     let (mut sender, mut numbers) = mpsc::channel(0);
//!     s.spawn_named("producer", async move {
//!         for number in 1..=3 {
//!             sender.send(number).await?;
//!         }
//!         Ok::<_, mpsc::SendError>(())
//!     });
//!     let mut sum = 0;
//!     while let Some(number) = numbers.next().await {
//!         sum += number; // The producer runs meanwhile.
//!     }
//!     Ok(sum)
//! });
//! assert_eq!(sum.await, Ok(6));
//! # });
//! ```
//!
//! - [`spawn_with_handle`](Spawner::spawn_with_handle) gives a [`TaskHandle`]: the task's value, and
//!   a way to abort it. Its error goes to the scope.
//! - [`start`](Spawner::start) waits until a task says that it is up.
//! - [`spawn_background`](Spawner::spawn_background) is for what serves the others; it is dropped
//!   when they have ended.
//! - [`spawn_named`](Spawner::spawn_named) gives a task a name. `Debug` of a group lists its
//!   unfinished tasks with their names, which is what one wants of a service that hangs.
//!
//! Tasks borrow what the scope may borrow, from outside. They may not borrow from the body:
//!
//! ```compile_fail,E0597
//! # use errgroup::scope;
//! # futures::executor::block_on(async {
//! scope(async |s| {
//!     let text = String::from("inside");
//!     s.spawn(async { println!("{text}"); Ok::<_, ()>(()) });
//!     Ok(())
//! })
//! # .await.unwrap() });
//! ```
//!
//! ```
//! # use errgroup::scope;
//! # futures::executor::block_on(async {
//! let text = String::from("outside");
//! scope(async |s| {
//!     s.spawn(async { println!("{text}"); Ok::<_, ()>(()) });
//!     Ok(())
//! })
//! # .await.unwrap() });
//! ```
//!
//! # Running under tokio
//!
//! A group needs nothing of its runtime, so it runs under tokio as it is, timers and sockets of
//! tokio included. Three things are worth knowing:
//!
//! - A group is one task of tokio, and runs on one of its threads at a time. To use more of them,
//!   spawn, and give the handle to the group. tokio's `JoinHandle` lets its task run on when it is
//!   dropped; with the feature `tokio`, `on_tokio::spawn` and `on_tokio::spawn_blocking` give
//!   futures that abort it. A group that runs elsewhere than its tasks, and may outlive their
//!   runtime, takes `on_tokio::try_spawn` and `on_tokio::try_spawn_blocking`, which tell it when
//!   that was shut down.
//! - What is given to `tokio::spawn` must be `'static`, a group as well as anything else. Its
//!   tasks may borrow from inside of that future.
//! - Under tokio's paused clock, use tokio's timers for deadlines and grace. The timers of the
//!   feature `time` go by the real clock.
//!
//! And one is a reason to use this crate: **nobody starves**. tokio gives each of its tasks 128
//! units for each poll, of which a message, a tick or a read takes one, and all that is polled
//! inside of that task shares them. Where futures are polled in an order that does not change,
//! whoever comes first takes them all. So it is in `FuturesUnordered`: of 4, 10 or 64 tasks that
//! read from channels that are never empty, at least half have read next to nothing when the first
//! has read all, on either runtime of tokio. A group begins each round of polls at another task, and
//! so do the maps and buffers; what [`drive`](Group::drive) waits for and the body of a scope have
//! their turns among them. In a group all of these readers read, and none much less than another.
//! The tests are in the repository: `suites/tests/it/fairness_tokio.rs`, and, with a budget that is
//! simulated, `tests/it/fairness.rs`. There all but two starve in a `FuturesUnordered`, however many
//! they are, if they are woken after the poll and the last of them first, as tokio does it.
//!
//! One thing takes no turns. What a context waits for, a deadline or a trigger, and the grace of a
//! group come first in every poll, so that they are never late. One that takes the whole budget in
//! each poll leaves nothing to the tasks. Timers and signals do not do that.
//!
//! # Running under embassy
//!
//! On embassy, the timers of `embassy-time` need its feature `generic-queue-8` (or another number:
//! about as many timers as run at once) inside of a group: without it they take no wakers but those
//! of embassy's executor, and panic.
//!
//! # Things that bite
//!
//! **Tasks of a loop need `async move`.** An `async` block borrows what it names, also the
//! variable of the loop, which is gone in the next turn:
//!
//! ```compile_fail,E0597
//! # use errgroup::ErrGroup;
//! # async fn ping(host: &str, n: u32) -> Result<(), ()> { Ok(()) }
//! # futures::executor::block_on(async {
//! let host = String::from("localhost");
//! let mut group = ErrGroup::new();
//! for n in 0..3 {
//!     group.spawn(async { ping(&host, n).await }); // `n` does not live long enough.
//! }
//! # group.await.unwrap();
//! # });
//! ```
//!
//! `async move` alone would move `host` into the first task. So what they share becomes a
//! reference before the loop, and a copy of the reference is moved:
//!
//! ```
//! # use errgroup::ErrGroup;
//! # async fn ping(host: &str, n: u32) -> Result<(), ()> { Ok(()) }
//! # futures::executor::block_on(async {
//! let host = String::from("localhost");
//! let mut group = ErrGroup::new();
//! let host = &host;
//! for n in 0..3 {
//!     group.spawn(async move { ping(host, n).await });
//! }
//! # group.await.unwrap();
//! # });
//! ```
//!
//! **An `async fn` cannot spawn itself.** Its type would contain itself. What rustc says of it is
//! "E0283: type annotations needed: cannot satisfy `impl Future<Output = ..>: Send`", without a
//! word about recursion:
//!
//! ```compile_fail,E0283
//! use errgroup::ErrSpawner;
//!
//! async fn countdown(n: u32, spawner: ErrSpawner<'_, (), ()>) -> Result<(), ()> {
//!     if n > 0 {
//!         spawner.spawn(countdown(n - 1, spawner.clone()));
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Write it as a function that returns `impl Future + Send + 'env`, with the lifetime of the
//! spawner. (Clippy's `manual_async_fn` then suggests the `async fn` again; allow it.)
//!
//! ```
//! use errgroup::{ErrGroup, ErrSpawner};
//!
//! fn countdown<'env>(
//!     n: u32,
//!     spawner: ErrSpawner<'env, (), ()>,
//! ) -> impl Future<Output = Result<(), ()>> + Send + 'env {
//!     async move {
//!         if n > 0 {
//!             spawner.spawn(countdown(n - 1, spawner.clone()));
//!         }
//!         Ok(())
//!     }
//! }
//! # futures::executor::block_on(async {
//! # let mut group = ErrGroup::new();
//! # group.spawn(countdown(10, group.spawner()));
//! # group.await.unwrap();
//! # });
//! ```
//!
//! **A task of an [`ErrGroup`] takes no `impl AsyncFn`**, nor `impl AsyncFnMut`, if that borrows
//! anything: rustc wants what it borrows to be `'static`, as it does for any boxed `Send` future.
//!
//! ```compile_fail,E0597
//! # use errgroup::ErrGroup;
//! async fn twice(f: impl AsyncFn() -> Result<(), ()>) -> Result<(), ()> {
//!     f().await?;
//!     f().await
//! }
//!
//! # futures::executor::block_on(async {
//! let text = String::from("hello");
//! let mut group = ErrGroup::new();
//! group.spawn(twice(async || { println!("{text}"); Ok(()) })); // `text` does not live long enough.
//! # group.await.unwrap();
//! # });
//! ```
//!
//! Take an `impl Fn() -> Fut` or `impl FnMut() -> Fut`. In a [`LocalErrGroup`] either works.
//!
//! ```
//! # use errgroup::ErrGroup;
//! async fn twice<Fut>(f: impl Fn() -> Fut) -> Result<(), ()>
//! where
//!     Fut: Future<Output = Result<(), ()>>,
//! {
//!     f().await?;
//!     f().await
//! }
//!
//! # futures::executor::block_on(async {
//! let text = String::from("hello");
//! let mut group = ErrGroup::new();
//! group.spawn(twice(async || { println!("{text}"); Ok(()) }));
//! # group.await.unwrap();
//! # });
//! ```
//!
//! **A scope in a scope needs `async move`** as soon as its body names anything of the outer body:
//! a variable, or its spawner. The inner body is a task of the outer scope, so it may borrow only
//! what the outer scope may borrow:
//!
//! ```compile_fail,E0597
//! # use errgroup::scope;
//! # futures::executor::block_on(async {
//! let text = String::from("outside");
//! scope(async |outer| {
//!     for n in 0..3 {
//!         outer.spawn(scope(async |inner| {
//!             inner.spawn(async { println!("{text} {n}"); Ok(()) }); // `n` does not live long enough.
//!             Ok::<_, ()>(())
//!         }));
//!     }
//!     Ok(())
//! })
//! # .await.unwrap() });
//! ```
//!
//! Both move, then, and what comes from outside becomes a reference first:
//!
//! ```
//! # use errgroup::scope;
//! # futures::executor::block_on(async {
//! let text = &String::from("outside");
//! scope(async |outer| {
//!     for n in 0..3 {
//!         outer.spawn(scope(async move |inner| {
//!             inner.spawn(async move { println!("{text} {n}"); Ok(()) });
//!             Ok::<_, ()>(())
//!         }));
//!     }
//!     Ok(())
//! })
//! # .await.unwrap() });
//! ```
//!
//! **A [`KeepOpen`] that is still alive hangs the group.** Drop it before the group is awaited:
//!
//! ```
//! # use errgroup::ErrGroup;
//! # futures::executor::block_on(async {
//! # let mut group = ErrGroup::<(), ()>::new();
//! let open = group.keep_open();
//! group.spawn(async { Ok(()) });
//! // ...
//! drop(open); // Without this line the next one never returns.
//! group.await
//! # }).unwrap();
//! ```
//!
//! `let _ = group.keep_open();` is the opposite mistake: it is dropped at once, and holds nothing
//! open.
//!
//! **[`first_ok`](Group::first_ok) drops the losers without telling them**, also in a graceful
//! group: they are not polled again to see that its context is cancelled. For losers that have to
//! say goodbye there is a [recipe](recipes#the-first-answer-wins-and-the-losers-say-goodbye).
//!
//! **Many producers in [`Spawner::ready`] are expensive.** Everyone who waits is woken when there is
//! room, and all but one wait again: N producers that wait together cost in the order of N² polls.
//! One producer that spawns for all, or a channel in front of it, costs N.
//!
//! **`with_timeout` needs the feature `time`.** Without it use
//! [`with_deadline`](CancelContext::with_deadline), which takes the timer of any runtime.
//!
//! # Compared with
//!
//! What each does by itself, or with one method of its own. [Every cell has its proof][proofs]: a
//! test that shows what the peer really does, or a source. The token is tokio-util's
//! `CancellationToken`.
//!
//! Those that spawn:
//!
//! | | errgroup | JoinSet | TaskTracker + token | tokio-graceful-<br>shutdown | Go's errgroup |
//! |---|---|---|---|---|---|
//! | tasks may borrow from the stack | yes | no | partly: if tracked | no | yes |
//! | the first error stops the siblings | yes | no: you abort | no: you cancel | no: it asks | no: it asks |
//! | a task may spawn siblings | yes | no | yes | yes | partly: not at a limit |
//! | a limit on how many run | yes | no | no | no | yes |
//! | outcomes in the order of the spawns | yes | no | partly: handles | no | no |
//! | time for a goodbye, then a hard stop | yes | no | partly: no stop | yes | partly: no stop |
//! | siblings see the cause of a cancel | yes | no | no | no | yes |
//! | all errors | yes | yes | partly: handles | yes | no |
//! | what becomes of a panic | passed on, or an error | an error | an error of its handle | an error | ends the program |
//! | works without `std` | yes | no | no | no | no |
//! | uses several cores by itself | no | yes | yes | yes | yes |
//! | nobody starves under tokio's budget | yes | yes | yes | yes | yes |
//! | runs on any executor | yes | no | partly: if tracked | no | no |
//! | a task may outlive its owner | no | yes | yes | no | yes |
//!
//! Those that are polled in place, as a group is:
//!
//! | | errgroup | Futures<br>Unordered | buffer_<br>unordered | futures-<br>buffered | futures-<br>concurrency | moro |
//! |---|---|---|---|---|---|---|
//! | tasks may borrow from the stack | yes | yes | yes | yes | yes | yes |
//! | the first error stops the siblings | yes | yes | yes | yes | yes | partly: late |
//! | a task may spawn siblings | yes | no | partly: a channel | partly: a channel | partly: a channel | partly: late |
//! | a limit on how many run | yes | no | yes | yes | yes | no |
//! | outcomes in the order of the spawns | yes | no | no | yes | partly: joins | partly: handles |
//! | time for a goodbye, then a hard stop | yes | no | no | no | no | no |
//! | siblings see the cause of a cancel | yes | no | no | no | no | no |
//! | all errors | yes | yes | yes | yes | yes | partly: handles |
//! | what becomes of a panic | passed on, or an error | passed on | passed on | passed on | passed on | aborts the process |
//! | works without `std` | yes | yes | yes | yes | yes | no |
//! | uses several cores by itself | no | no | no | no | no | no |
//! | nobody starves under tokio's budget | yes | no | no | partly: a feature | no | no |
//! | runs on any executor | yes | yes | yes | yes | yes | yes |
//! | a task may outlive its owner | no | no | no | no | no | no |
//!
//! [proofs]: https://github.com/errgroup-rs/errgroup/tree/main/bench/compared#readme
//!
//! # When not to use it
//!
//! - To keep several processors busy. A group polls its tasks on the thread that polls the group.
//!   Spawn such work onto an executor, and make the handle a task of the group:
//!   `group.spawn(executor.spawn(work))` works as it is with `async_executor::Task`, which cancels
//!   on drop. If the executor is dropped before its task has ended, that panics in the group that
//!   polls it; `executor.spawn(work).fallible()` does not, and gives `None`. For tokio see
//!   [above](#running-under-tokio).
//! - For tasks that outlive their owner. That is what executors are for.
//! - For a handful of futures of known types: `join!` and `try_join!` of the crate `futures` need no
//!   boxes.
//! - For many small futures of one type, of which nothing but the outputs is wanted: a group boxes
//!   each of them; futures-buffered and [`try_map`] do not.
//!
//! # Features
//!
//! - `std` (default): [`catch_panics`](Group#method.catch_panics), destructors that panic one after the
//!   other, conversions of [`Cancelled`], [`TooLarge`] and [`Panicked`](struct.Panicked.html) into
//!   `std::io::Error`. Without it the crate is `no_std` and needs `alloc`.
//! - `time`: `CancelContext::with_timeout` and `time::sleep`, on async-io, whose reactor works under
//!   every executor.
//! - `tokio`: `on_tokio::spawn` and `on_tokio::spawn_blocking`, and `try_spawn` and
//!   `try_spawn_blocking` for groups that may outlive the runtime. Not needed to run under tokio.
//! - `tracing`: a span `errgroup.task` around every task, with `group`, `index` and `name`, and
//!   debug events: spawned, started, finished, failed, dropped; cancelled and grace over for
//!   groups. Nothing of it is compiled in when it is off.
//! - `critical-section`: without `std`, guard shared state by critical sections instead of a spin
//!   lock. Needed where an interrupt handler may wake a task. The program has to provide the
//!   implementation, as the crate `critical-section` says.
//!
//! # Platforms
//!
//! With `std`, wherever that is. Without it, every target that has atomic compare-and-swap on
//! pointers: `wasm32-unknown-unknown`, `thumbv7m-none-eabi` and `riscv32imac-unknown-none-elf` are
//! such ones. On those that have none, like `thumbv6m-none-eabi` and `riscv32imc-unknown-none-elf`,
//! it does not compile, and says why.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Whatever is woken or shared stands on compare-and-swap. Where that is missing the crate has no item,
// so that this is the only error. `Cargo.toml` leaves out the dependencies that would fail before.
#[cfg(not(target_has_atomic = "ptr"))]
compile_error!("errgroup needs atomic compare-and-swap, which this target does not have");

#[cfg(target_has_atomic = "ptr")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(target_has_atomic = "ptr")]
mod context;
#[cfg(target_has_atomic = "ptr")]
mod engine;
#[cfg(target_has_atomic = "ptr")]
mod error;
#[cfg(target_has_atomic = "ptr")]
mod group;
#[cfg(target_has_atomic = "ptr")]
mod map;
#[cfg(target_has_atomic = "ptr")]
mod semaphore;
#[cfg(target_has_atomic = "ptr")]
mod util;

#[cfg(target_has_atomic = "ptr")]
pub mod flavor {
    //! The two flavours of a [`Group`](crate::Group): tasks that are `Send`, and tasks that need not
    //! be.
    //!
    //! Code that uses one of them says [`ErrGroup`](crate::ErrGroup) or
    //! [`LocalErrGroup`](crate::LocalErrGroup), and needs nothing of this. It is for what is generic
    //! over both.

    pub use crate::group::flavor::{Accepts, Flavor, Local, Sending};
}
#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub mod on_tokio;
#[cfg(feature = "time")]
#[cfg_attr(docsrs, doc(cfg(feature = "time")))]
pub mod time;

#[cfg(target_has_atomic = "ptr")]
pub use crate::{
    context::{CancelContext, Cancelling, DropGuard, Run},
    error::{CancelKind, Cancelled, Errors, StartError, TooLarge, TrySpawnError},
    group::driving::Results,
    group::handle::{AbortHandle, AbortOnDrop, KeepOpen, Started, TaskHandle},
    group::scope::{local_scope, local_scope_in, scope, scope_in},
    group::spawner::{ErrSpawner, LocalErrSpawner, Spawner},
    group::{ErrGroup, Group, LocalErrGroup},
    map::{
        BufferUnordered, Buffered, TryForEach, TryMap, buffer_unordered, buffered, try_for_each,
        try_for_each_stream, try_map, try_map_stream,
    },
    semaphore::{Acquire, AcquireOwned, OwnedPermit, Permit, Semaphore},
};
#[cfg(target_has_atomic = "ptr")]
util::sync::std_only! {
    pub use error::Panicked;
}

// Nothing but docs.
#[cfg(any(doc, doctest))]
pub mod recipes;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
