//! Recipes: how to build what services often need. There is nothing to import here.
//!
//! - [A server's `select!` over a graceful group](#a-servers-select-over-a-graceful-group)
//! - [A supervisor that restarts with backoff](#a-supervisor-that-restarts-with-backoff)
//! - [Hedged requests](#hedged-requests)
//! - [A timeout for each task, and a deadline for all](#a-timeout-for-each-task-and-a-deadline-for-all)
//! - [A group that is fed from another thread](#a-group-that-is-fed-from-another-thread)
//! - [A scope with a limit](#a-scope-with-a-limit)
//! - [The first answer wins, and the losers say goodbye](#the-first-answer-wins-and-the-losers-say-goodbye)
//! - [Blocking work](#blocking-work)
//!
//! # A server's `select!` over a graceful group
//!
//! Clients come, errors of one client touch no other, and when the server is told to stop, those
//! that are connected get a second to finish. The group stays open while it is empty, until its
//! context is cancelled. So the loop may look for outcomes before the first client has come.
//!
//! With `tokio::select!`, the pattern `Some(outcome)` does not match while the group is empty, and
//! its branch is passed over:
//!
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! use errgroup::{CancelContext, ErrGroup};
//! use std::{io, time::Duration};
//! use tokio::{net::{TcpListener, TcpStream}, time::sleep};
//!
//! # async fn serve(stream: TcpStream, context: &CancelContext) -> io::Result<()> { Ok(()) }
//! async fn server(listener: TcpListener, stop: CancelContext) -> io::Result<()> {
//!     let (context, mut group) = ErrGroup::with_grace(&stop, || sleep(Duration::from_secs(1)));
//!     loop {
//!         tokio::select! {
//!             accepted = listener.accept() => {
//!                 let (stream, _) = accepted?;
//!                 group.spawn(serve(stream, &context));
//!             }
//!             Some(outcome) = group.next() => {
//!                 if let Err(error) = outcome {
//!                     eprintln!("a client: {error}"); // Touches no other client.
//!                 }
//!             }
//!             _ = stop.cancelled() => break,
//!         }
//!     }
//!     for outcome in group.settle().await {
//!         if let Err(error) = outcome {
//!             eprintln!("at the end: {error}");
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The macro looks at its branches in an order that changes. So an outcome that a client has because
//! of the stop may still come in the loop, and not at the end.
//!
//! With `futures::select!` there is no pattern that may fail: `group.next().fuse()` would be ready
//! with `None` while the group is empty, and the loop would spin. A [`KeepOpen`](crate::KeepOpen)
//! lets `next` wait, and that is all it needs:
//!
#![cfg_attr(feature = "std", doc = "```no_run")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use errgroup::{CancelContext, ErrGroup};
//! use futures::{FutureExt, StreamExt, select};
//! use smol::{Timer, net::{TcpListener, TcpStream}};
//! use std::{io, time::Duration};
//!
//! # async fn serve(stream: TcpStream, context: &CancelContext) -> io::Result<()> { Ok(()) }
//! async fn server(listener: TcpListener, stop: CancelContext) -> io::Result<()> {
//!     let (context, mut group) = ErrGroup::with_grace(&stop, || Timer::after(Duration::from_secs(1)));
//!     let open = group.keep_open(); // Else `next` is ready while there are no clients.
//!     let mut incoming = listener.incoming().fuse();
//!     let mut ticks = StreamExt::fuse(Timer::interval(Duration::from_secs(60)));
//!     let mut stopped = stop.cancelled();
//!     loop {
//!         select! {
//!             stream = incoming.select_next_some() => group.spawn(serve(stream?, &context)),
//!             outcome = group.next().fuse() => {
//!                 if let Some(Err(error)) = outcome {
//!                     eprintln!("a client: {error}"); // Touches no other client.
//!                 }
//!             }
//!             _ = ticks.select_next_some() => println!("{} clients", group.len()),
//!             _ = stopped => break,
//!         }
//!     }
//!     drop(open); // Now the group ends when its clients have ended.
//!     for outcome in group.settle().await {
//!         if let Err(error) = outcome {
//!             eprintln!("at the end: {error}");
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The ticks are not `Timer::interval(..).fuse()`, because smol's `Timer` is a future as well as a
//! stream, and both have a `fuse`.
//!
//! `group.results()` does not fit into such a loop. As a temporary it does not live long enough:
//!
//! ```compile_fail,E0716
//! # use errgroup::ErrGroup; use futures::{StreamExt, channel::mpsc, select};
//! # futures::executor::block_on(async {
//! # let (_sender, jobs) = mpsc::unbounded::<u32>();
//! let mut jobs = jobs.fuse();
//! let mut group = ErrGroup::<(), ()>::new();
//! loop {
//!     select! {
//!         outcome = group.results().select_next_some() => println!("{outcome:?}"),
//!         job = jobs.select_next_some() => group.spawn(async move { println!("{job}"); Ok(()) }),
//!         complete => break,
//!     }
//! }
//! # });
//! ```
//!
//! and as a variable it borrows the group, so that nothing can be spawned meanwhile:
//!
//! ```compile_fail,E0499
//! # use errgroup::ErrGroup; use futures::{StreamExt, channel::mpsc, select};
//! # futures::executor::block_on(async {
//! # let (_sender, jobs) = mpsc::unbounded::<u32>();
//! let mut jobs = jobs.fuse();
//! let mut group = ErrGroup::<(), ()>::new();
//! let mut results = group.results();
//! loop {
//!     select! {
//!         outcome = results.select_next_some() => println!("{outcome:?}"),
//!         job = jobs.select_next_some() => group.spawn(async move { println!("{job}"); Ok(()) }),
//!         complete => break,
//!     }
//! }
//! # });
//! ```
//!
//! `next` does, as above: each turn of the loop borrows the group anew.
//!
//! ```
//! # use errgroup::ErrGroup; use futures::{FutureExt, StreamExt, channel::mpsc, select};
//! # futures::executor::block_on(async {
//! # let (sender, jobs) = mpsc::unbounded::<u32>();
//! # sender.unbounded_send(1).unwrap(); drop(sender);
//! let mut jobs = jobs.fuse();
//! let mut group = ErrGroup::<(), ()>::new();
//! let open = group.keep_open();
//! loop {
//!     select! {
//!         outcome = group.next().fuse() => println!("{outcome:?}"),
//!         job = jobs.next() => match job {
//!             Some(job) => group.spawn(async move { println!("{job}"); Ok(()) }),
//!             None => break,
//!         },
//!     }
//! }
//! drop(open);
//! # group.await.unwrap();
//! # });
//! ```
//!
//! If the loop does not have to see each outcome, [`drive`](crate::Group::drive) is simpler. What
//! it waits for is one future. Two futures that are pinned in place do not live until it is
//! awaited:
//!
//! ```compile_fail,E0716
//! # use errgroup::ErrGroup; use futures::future::{Either, select}; use std::{io, pin::pin};
//! # async fn accept() -> u32 { 1 }
//! # async fn stop() {}
//! # async fn server() -> io::Result<()> {
//! let mut group = ErrGroup::<(), io::Error>::new();
//! loop {
//!     let next = group.drive(select(pin!(accept()), pin!(stop())));
//!     match next.await {
//!         Some(Either::Left((job, _))) => group.spawn(async move { println!("{job}"); Ok(()) }),
//!         Some(Either::Right(_)) | None => break,
//!     }
//! }
//! group.await
//! # }
//! ```
//!
//! An `async` closure, called anew in each turn, holds them itself:
//!
#![cfg_attr(feature = "tokio", doc = "```no_run")]
#![cfg_attr(not(feature = "tokio"), doc = "```ignore")]
//! # use errgroup::{CancelContext, ErrGroup}; use std::io; use tokio::net::{TcpListener, TcpStream};
//! # async fn serve(stream: TcpStream) -> io::Result<()> { Ok(()) }
//! # async fn server(listener: TcpListener, stop: CancelContext) -> io::Result<()> {
//! let accept = async || tokio::select! {
//!     accepted = listener.accept() => Some(accepted),
//!     _ = stop.cancelled() => None,
//! };
//! let mut group = ErrGroup::new().limit(1000);
//! while group.ready().await {
//!     let Some(Some(accepted)) = group.drive(accept()).await else {
//!         break; // Stopped, or a task has failed.
//!     };
//!     group.spawn(serve(accepted?.0));
//! }
//! group.await
//! # }
//! ```
//!
//! # A supervisor that restarts with backoff
//!
//! A supervisor is a loop inside a task. While it waits, its siblings go on, and when it gives up,
//! its error is the group's.
//!
//! ```
//! use errgroup::ErrGroup;
//! use smol::Timer;
//! use std::{io, time::Duration};
//!
//! async fn supervise<Fut>(mut worker: impl FnMut() -> Fut) -> io::Result<()>
//! where
//!     Fut: Future<Output = io::Result<()>>,
//! {
//!     let mut pause = Duration::from_millis(1);
//!     for _ in 0..5 {
//!         match worker().await {
//!             Ok(()) => return Ok(()),
//!             Err(error) => eprintln!("starts again in {pause:?}: {error}"),
//!         }
//!         Timer::after(pause).await;
//!         pause *= 2;
//!     }
//!     worker().await // The last time its error counts.
//! }
//!
//! # async fn serve() -> io::Result<()> { Ok(()) }
//! # smol::block_on(async {
//! let mut failures = 2;
//! let connect = || {
//!     failures -= 1;
//!     let fails = failures >= 0;
//!     async move { if fails { Err(io::Error::other("no route")) } else { Ok(()) } }
//! };
//! let mut group = ErrGroup::new();
//! group.spawn(supervise(connect));
//! group.spawn(serve());
//! group.await
//! # }).unwrap();
//! ```
//!
//! A worker with state is a closure that returns `async move`, as here. With
//! `impl AsyncFnMut() -> io::Result<()>` rustc [says](crate#things-that-bite) of what it borrows
//! that it "does not live long enough", or is "borrowed for `'static`", as of any boxed `Send`
//! future. In a [`LocalErrGroup`](crate::LocalErrGroup) that bound works.
//!
//! A worker that panics takes the supervisor with it. If it should start again, too, run it in a
//! group of its own with [`catch_panics`](crate::Group#method.catch_panics), which makes an error of it,
//! a [`Panicked`](../struct.Panicked.html):
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! # use errgroup::ErrGroup; use std::io;
//! async fn guarded(worker: impl Future<Output = io::Result<()>> + Send) -> io::Result<()> {
//!     let mut group = ErrGroup::new().catch_panics();
//!     group.spawn(worker);
//!     group.await
//! }
//! # let panics = guarded(async { std::panic::resume_unwind(Box::new("the worker")) });
//! # assert!(smol::block_on(panics).is_err());
//! ```
//!
//! # Hedged requests
//!
//! Ask one server, ask the next one too when no answer has come for a while, and take the first
//! answer. The others are dropped, and so are those whose turn has not come.
//!
//! ```
//! use errgroup::{ErrGroup, Errors};
//! use smol::Timer;
//! use std::{io, time::Duration};
//!
//! async fn hedged(servers: &[&str]) -> Result<String, Errors<io::Error>> {
//!     let mut group = ErrGroup::new();
//!     for (n, server) in (0..).zip(servers) {
//!         group.spawn(async move {
//!             Timer::after(Duration::from_millis(20) * n).await;
//!             ask(server).await
//!         });
//!     }
//!     group.first_ok().await // All the errors, when none answers.
//! }
//!
//! # async fn ask(server: &str) -> io::Result<String> {
//! #     if server == "slow" { std::future::pending::<()>().await }
//! #     Ok(format!("from {server}"))
//! # }
//! # smol::block_on(async {
//! assert_eq!(hedged(&["slow", "quick"]).await?, "from quick");
//! # Ok::<_, Errors<io::Error>>(())
//! # }).unwrap();
//! ```
//!
//! If a server that fails should hand on at once, wait for the first of an outcome and the pause:
//!
//! ```
//! use errgroup::ErrGroup;
//! use futures::future::{Either, select};
//! use smol::Timer;
//! use std::{io, pin::pin, time::Duration};
//!
//! async fn hedged(servers: &[&str]) -> Result<String, Vec<io::Error>> {
//!     let mut group = ErrGroup::new();
//!     let mut errors = Vec::new();
//!     for server in servers {
//!         group.spawn(ask(server));
//!         let pause = Timer::after(Duration::from_millis(20));
//!         match select(pin!(group.next()), pause).await {
//!             Either::Left((Some(Ok(answer)), _)) => return Ok(answer), // Drops the others.
//!             Either::Left((Some(Err(error)), _)) => errors.push(error),
//!             _ => {} // No answer yet.
//!         }
//!     }
//!     while let Some(outcome) = group.next().await {
//!         match outcome {
//!             Ok(answer) => return Ok(answer),
//!             Err(error) => errors.push(error),
//!         }
//!     }
//!     Err(errors) // Of all of them, in the order in which they came.
//! }
//!
//! # async fn ask(server: &str) -> io::Result<String> {
//! #     match server {
//! #         "down" => Err(io::ErrorKind::ConnectionRefused.into()),
//! #         "slow" => std::future::pending().await,
//! #         _ => Ok(format!("from {server}")),
//! #     }
//! # }
//! # smol::block_on(async {
//! assert_eq!(hedged(&["down", "slow", "quick"]).await?, "from quick");
//! assert_eq!(hedged(&["down", "down"]).await.unwrap_err().len(), 2);
//! # Ok::<_, Vec<io::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # A timeout for each task, and a deadline for all
//!
//! A child context ends with itself or with its parent, whichever comes first. Its cause tells
//! which it was.
//!
//! ```
//! use errgroup::{CancelContext, Cancelled, ErrGroup};
//! use smol::Timer;
//! use std::{fmt, time::Duration};
//!
//! #[derive(Debug)]
//! struct TooSlow(usize);
//!
//! impl fmt::Display for TooSlow {
//!     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
//!         write!(f, "request {} took too long", self.0)
//!     }
//! }
//!
//! impl std::error::Error for TooSlow {}
//!
//! fn what_ended_it(reason: &Cancelled) -> String {
//!     match reason.cause().and_then(|cause| cause.downcast_ref::<TooSlow>()) {
//!         Some(own) => own.to_string(),
//!         None if reason.is_deadline() => "the time for all requests is over".to_string(),
//!         None => "somebody cancelled".to_string(),
//!     }
//! }
//!
//! # async fn request(n: usize) { if n == 1 { std::future::pending().await } }
//! # smol::block_on(async {
//! let total = CancelContext::new().with_deadline(Timer::after(Duration::from_secs(60)));
//! let mut group = ErrGroup::<(), Cancelled>::new().keep_going();
//! for n in 0..3 {
//!     let timer = Timer::after(Duration::from_millis(20));
//!     let own = total.with_deadline_cause(timer, TooSlow(n));
//!     group.spawn(async move { own.run(request(n)).await });
//! }
//! let outcomes = group.settle().await;
//! assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
//! assert_eq!(what_ended_it(outcomes[1].as_ref().unwrap_err()), "request 1 took too long");
//! # let over = CancelContext::new().with_deadline(async {});
//! # let own = over.with_deadline_cause(std::future::pending::<()>(), TooSlow(7));
//! # let reason = own.run(std::future::pending::<()>()).await.unwrap_err();
//! # assert_eq!(what_ended_it(&reason), "the time for all requests is over");
//! # });
//! ```
//!
//! The timers here start when they are made. In a group with a limit, where a task may have to wait
//! for its turn, make the timer and the context inside of the task.
//!
//! # A group that is fed from another thread
//!
//! A group is done when it is empty. A [`KeepOpen`](crate::KeepOpen) says that more will come.
//!
//! ```
//! use errgroup::ErrGroup;
//! use std::{io, thread};
//!
//! # futures::executor::block_on(async {
//! let group = ErrGroup::<u32, io::Error>::new();
//! let (open, spawner) = (group.keep_open(), group.spawner());
//! let producer = thread::spawn(move || {
//!     for n in 0..3 {
//!         spawner.spawn(async move { Ok(n * n) });
//!     }
//!     drop(open); // Now the group ends when its tasks have ended.
//! });
//! assert_eq!(group.collect().await?, [0, 1, 4]);
//! # producer.join().unwrap();
//! # Ok::<_, io::Error>(())
//! # }).unwrap();
//! ```
//!
//! If the thread panics, it drops `open`, too, and the group ends. If the group fails, the thread
//! learns of it from [`is_closed`](crate::Spawner::is_closed). To hold the thread back at a limit,
//! let it block on [`ready`](crate::Spawner::ready) before each task; a thread of
//! `std::thread::scope` may borrow, and so may the tasks that it spawns.
//!
//! # A scope with a limit
//!
//! The four functions such as [`scope()`](crate::scope()) are short ways to
//! [`Group::scope`](crate::Group::scope), with which a scope gets whatever a group can have: a
//! limit, a grace, [`catch_panics`](crate::Group#method.catch_panics),
//! [`keep_going`](crate::Group::keep_going).
//!
//! ```
//! use errgroup::ErrGroup;
//!
//! type Error = Box<dyn std::error::Error + Send + Sync>;
//!
//! # async fn fetch(page: u32) -> Result<String, Error> { Ok(page.to_string()) }
//! # futures::executor::block_on(async {
//! let pages = ErrGroup::<(), Error>::new().limit(4).scope(async |s| {
//!     let mut handles = Vec::new();
//!     for page in 0..100 {
//!         handles.push(s.spawn_with_handle(fetch(page))); // At most 4 at once.
//!     }
//!     let mut pages = Vec::new();
//!     for handle in handles {
//!         pages.push(handle.await?); // The body takes no slot while it waits.
//!     }
//!     Ok(pages)
//! });
//! assert_eq!(pages.await?.len(), 100);
//! # Ok::<_, Error>(())
//! # }).unwrap();
//! ```
//!
//! # The first answer wins, and the losers say goodbye
//!
//! [`first_ok`](crate::Group::first_ok) drops the losers. In a loop over
//! [`next`](crate::Group::next), one decides oneself what a success means. Here the others are
//! aborted, and the group can be used on:
//!
//! ```
//! # use errgroup::ErrGroup;
//! # futures::executor::block_on(async {
//! let mut group = ErrGroup::<u32, ()>::new();
//! group.spawn(async { Err(()) });
//! group.spawn(async { Ok(2) });
//! group.spawn(std::future::pending());
//! let mut winner = None;
//! while let Some(outcome) = group.next().await {
//!     if let Ok(value) = outcome {
//!         winner = Some(value);
//!         group.abort_all(); // They have no outcome.
//!     }
//! }
//! assert_eq!(winner, Some(2));
//! # });
//! ```
//!
//! Losers that have to say goodbye look at the context of a graceful group, which is cancelled at
//! the first success:
//!
//! ```
//! # use errgroup::{CancelContext, ErrGroup};
//! # futures::executor::block_on(async {
//! let (context, mut group) = ErrGroup::<u32, ()>::with_context(&CancelContext::new());
//! group.spawn(async { Ok(1) });
//! group.spawn(async {
//!     context.cancelled().await;
//!     println!("goodbye");
//!     Err(())
//! });
//! let mut winner = None;
//! while let Some(outcome) = group.next().await {
//!     if let (Ok(value), None) = (outcome, winner) {
//!         winner = Some(value);
//!         context.cancel();
//!     }
//! }
//! assert_eq!(winner, Some(1));
//! # });
//! ```
//!
//! To abort one task and not the others, spawn it with
//! [`spawn_abortable`](crate::Group::spawn_abortable).
//!
//! # Blocking work
//!
//! A blocking call cannot be dropped. When its group fails or is dropped, the group returns at
//! once, and the call goes on on its thread. The docs of [`on_tokio`] (feature `tokio`) show what
//! that means for the end of a runtime, which waits for such calls unless
//! `Runtime::shutdown_timeout` or `Runtime::shutdown_background` ends it, with an example of each.
//!
#![cfg_attr(feature = "tokio", doc = "[`on_tokio`]: crate::on_tokio")]
#![cfg_attr(
    not(feature = "tokio"),
    doc = "[`on_tokio`]: https://docs.rs/errgroup/latest/errgroup/on_tokio/"
)]
//!
//! Where the work can be cut into pieces, give it a context, and let it ask between them. That is
//! the same with any pool of threads; this one is smol's:
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use errgroup::{CancelContext, ErrGroup};
//! use std::io;
//!
//! # fn next_piece() {}
//! # smol::block_on(async {
//! let (context, mut group) = ErrGroup::<(), io::Error>::with_context(&CancelContext::new());
//! let asked = context.clone();
//! group.spawn(smol::unblock(move || {
//!     loop {
//!         asked.check()?; // Takes no lock while nothing is cancelled.
//!         next_piece();
//!     }
//! }));
//! group.spawn(async { Err(io::Error::other("no more")) }); // Cancels the context.
//! assert_eq!(group.await.unwrap_err().to_string(), "no more");
//! # });
//! ```
