//! The server of `http_server.rs` once more, with axum on tokio.
//!
//! ```sh
//! cargo run --release --features tokio --example http_axum
//! cargo run --release --features tokio --example http_axum -- --addr 127.0.0.1:0
//!
//! curl localhost:8080/ping
//! curl localhost:8080/slow?ms=2000
//! curl -X POST localhost:8080/shutdown    # or ^C, or `kill`
//! ```
//!
//! `axum::serve` would spawn the connections and leave them to themselves. Here every connection
//! is a task of a group: it runs on tokio's threads, and is aborted when the group lets go of it.
//! So nothing is left behind when the grace is over, and a handler that panics is not overlooked.

use std::convert::Infallible;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use errgroup::{CancelContext, Cancelled, ErrGroup, on_tokio};
use futures::future::{Either, select};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::sleep;

const HELP: &str = "\
Usage: http_axum [--addr ADDR]

Answers GET /ping, GET /slow?ms=N and POST /shutdown.

  --addr ADDR  where to listen [default: 127.0.0.1:8080]; port 0 picks one
  --help       this text";

/// How long requests in flight may take when it is time to go.
const GRACE: Duration = Duration::from_secs(3);
/// How long a client may then take to do its part: to finish the head of its first request, or to
/// take its answer.
const CLIENT_PATIENCE: Duration = Duration::from_secs(1);
/// The pause after a failed accept, which is likely to fail again: no more file descriptors, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let code = match parse_args() {
        Ok(Some(addr)) => start(addr),
        Ok(None) => {
            say(HELP);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(io::Error::other(error)),
    };
    code.unwrap_or_else(|error| {
        log(error);
        ExitCode::FAILURE
    })
}

/// The address to listen on; none if it was help that was asked for.
fn parse_args() -> Result<Option<SocketAddr>, lexopt::Error> {
    use lexopt::prelude::*;

    let mut addr = SocketAddr::from(([127, 0, 0, 1], 8080));
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("addr") => addr = args.value()?.parse()?,
            Short('h') | Long("help") => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(Some(addr))
}

#[tokio::main]
async fn start(addr: SocketAddr) -> io::Result<ExitCode> {
    let signals = Signals::new()?;
    let (shut_down, shutdowns) = mpsc::channel(1);
    let listener = listen(addr).await?;
    say(format_args!(
        "listening on http://{}",
        listener.local_addr()?
    ));

    let hurry = CancelContext::new();
    let grace = || async {
        select(pin!(sleep(GRACE)), hurry.cancelled()).await;
    };
    let (context, group) = ErrGroup::with_grace(&CancelContext::new(), grace);
    let mut group = group.cause_from(|error: &io::Error| error.to_string().into());
    group.spawn(serve(listener, router(shut_down), &context));
    group.spawn(watch_shutdown(shutdowns, &context));
    // In the background, because it goes on when the others are done: for the second signal.
    let signals = watch_signals(signals, &context, &hurry);
    group.spawner().spawn_background(signals);
    let outcome = group.await;

    let reason = context.reason();
    if let Some(cause) = reason.as_ref().and_then(Cancelled::cause) {
        say(format_args!("errgroup exiting: {cause}"));
    }
    Ok(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log(format_args!("not everything ended by itself: {error}"));
            ExitCode::FAILURE
        }
    })
}

async fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr).await;
    listener
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))
}

/// Accepts until the context is cancelled, then waits for its connections.
async fn serve(listener: TcpListener, app: Router, context: &CancelContext) -> io::Result<()> {
    let mut connections = ErrGroup::new();
    // `drive` lets finished connections go while we wait for the next one.
    while let Some(Ok(accepted)) = connections.drive(context.run(listener.accept())).await {
        match accepted {
            Ok((stream, _)) => {
                let connection = serve_client(stream, app.clone(), context.clone());
                connections.spawn(on_tokio::spawn(connection));
            }
            Err(error) => {
                log(format_args!("cannot accept: {error}"));
                let pause = context.run(sleep(ACCEPT_PAUSE));
                connections.drive(pause).await;
            }
        }
    }
    drop(listener); // From here on, clients are refused.
    let Ok(()) = connections.await;
    Ok(())
}

/// Serves one client. If that fails, it is nobody else's business.
async fn serve_client(
    stream: TcpStream,
    app: Router,
    context: CancelContext,
) -> Result<(), Infallible> {
    let answering = AtomicBool::new(false);
    let app = TowerToHyperService::new(app);
    let service = service_fn(async |request: Request<Incoming>| {
        answering.store(true, Relaxed);
        let response = app.call(request).await;
        answering.store(false, Relaxed);
        response
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
    );

    // The connection comes first: it reads what has arrived before it learns of the end.
    let served = match select(connection.as_mut(), context.cancelled()).await {
        Either::Left((served, _)) => served,
        Either::Right(_) => {
            // Closes the connection, after the request that it is at.
            connection.as_mut().graceful_shutdown();
            loop {
                match select(connection.as_mut(), pin!(sleep(CLIENT_PATIENCE))).await {
                    Either::Left((served, _)) => break served,
                    Either::Right(_) if answering.load(Relaxed) => {}
                    // It waits for the client, who sends no request, or does not read.
                    Either::Right(_) => break Ok(()),
                }
            }
        }
    };
    match served {
        Err(error) if !error.is_timeout() => log(format_args!("a client: {error}")),
        _ => {} // One that says nothing for long is gone, and that is fine.
    }
    Ok(())
}

fn router(shut_down: Sender<()>) -> Router {
    Router::new()
        .route("/ping", get(async || "pong"))
        .route("/slow", get(slow))
        .route("/shutdown", post(shutdown))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .with_state(shut_down)
}

async fn slow(RawQuery(query): RawQuery) -> Result<&'static str, (StatusCode, String)> {
    let time = parse_ms(query.as_deref()).map_err(|reason| (StatusCode::BAD_REQUEST, reason))?;
    sleep(time).await;
    Ok("done")
}

async fn shutdown(State(shut_down): State<Sender<()>>) -> &'static str {
    _ = shut_down.try_send(()); // Full if we were told before.
    "shutting down"
}

async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "not found")
}

fn parse_ms(query: Option<&str>) -> Result<Duration, String> {
    let mut pairs = query.unwrap_or_default().split('&');
    let ms = pairs.find_map(|pair| pair.strip_prefix("ms="));
    let ms = ms.ok_or("ms is missing: say /slow?ms=100")?;
    match ms.parse() {
        Ok(ms) => Ok(Duration::from_millis(ms)),
        Err(error) => Err(format!("ms is no number of milliseconds: {error}")),
    }
}

/// Waits for `POST /shutdown`.
async fn watch_shutdown(mut shutdowns: Receiver<()>, context: &CancelContext) -> io::Result<()> {
    if let Ok(Some(())) = context.run(shutdowns.recv()).await {
        context.cancel_with("shutdown requested");
    }
    Ok(())
}

/// The first signal is the beginning of the end; the second is the end of the grace.
async fn watch_signals(
    mut signals: Signals,
    context: &CancelContext,
    hurry: &CancelContext,
) -> io::Result<()> {
    let signal = signals.next().await;
    context.cancel_with(format!("got signal {signal}"));
    signals.next().await;
    hurry.cancel();
    Ok(())
}

#[cfg(unix)]
struct Signals {
    int: tokio::signal::unix::Signal,
    term: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Signals {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.int.recv() => "SIGINT",
            _ = self.term.recv() => "SIGTERM",
        }
    }
}

/// Windows has no other than Ctrl-C.
#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new() -> io::Result<Signals> {
        tokio::signal::windows::ctrl_c().map(Signals)
    }

    async fn next(&mut self) -> &'static str {
        self.0.recv().await;
        "SIGINT"
    }
}

/// Like `println!`, but does not panic when nobody reads: a server goes on without its reader.
fn say(line: impl Display) {
    _ = writeln!(io::stdout(), "{line}");
}

/// Like `eprintln!`, but does not panic when nobody reads.
fn log(line: impl Display) {
    _ = writeln!(io::stderr(), "http_axum: {line}");
}
