//! An HTTP server that goes home in good order.
//!
//! ```sh
//! cargo run --release --example http_server
//! cargo run --release --example http_server -- --addr 127.0.0.1:0
//!
//! curl localhost:8080/ping
//! curl localhost:8080/slow?ms=2000
//! curl -X POST localhost:8080/shutdown    # or ^C, or `kill`
//! ```
//!
//! The server and its two watchers are tasks of one group with a grace. A watcher that has seen
//! enough cancels the group's context. Then the server stops accepting, every connection finishes
//! the request it is at, and the group runs out by itself; what is not done when the grace is over
//! is dropped. A second signal ends the grace at once.

use std::convert::Infallible;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_signal::{Signal, Signals};
use errgroup::{CancelContext, Cancelled, ErrGroup};
use futures::future::{Either, select};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use smol::channel::{self, Receiver, Sender};
use smol::net::{TcpListener, TcpStream};
use smol::{Timer, stream::StreamExt};
use smol_hyper::rt::{FuturesIo, SmolTimer};

const HELP: &str = "\
Usage: http_server [--addr ADDR]

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
/// What asks us to go; Windows has no other than Ctrl-C.
const SIGNALS: &[Signal] = if cfg!(unix) {
    &[Signal::Int, Signal::Term]
} else {
    &[Signal::Int]
};

fn main() -> ExitCode {
    let code = match parse_args() {
        Ok(Some(addr)) => smol::block_on(run(addr)),
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

/// Runs the parts of the program as one group, and says how that ended.
async fn run(addr: SocketAddr) -> io::Result<ExitCode> {
    let signals = Signals::new(SIGNALS)?;
    // Sees every signal, too, and nobody looks at it before the grace.
    let mut second_signal = Signals::new(SIGNALS)?.skip(1);
    let (shut_down, shutdowns) = channel::bounded(1);
    let listener = listen(addr).await?;
    say(format_args!(
        "listening on http://{}",
        listener.local_addr()?
    ));

    let grace = || async move {
        select(Timer::after(GRACE), second_signal.next()).await;
    };
    let (context, group) = ErrGroup::with_grace(&CancelContext::new(), grace);
    let mut group = group.cause_from(|error: &io::Error| error.to_string().into());
    group.spawn(serve(listener, &shut_down, &context));
    group.spawn(watch_shutdown(shutdowns, &context));
    group.spawn(watch_signals(signals, &context));
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
async fn serve(
    listener: TcpListener,
    shut_down: &Sender<()>,
    context: &CancelContext,
) -> io::Result<()> {
    let mut connections = ErrGroup::new();
    // `drive` lets the connections go on while we wait for the next one.
    while let Some(Ok(accepted)) = connections.drive(context.run(listener.accept())).await {
        match accepted {
            Ok((stream, _)) => connections.spawn(serve_client(stream, shut_down, context)),
            Err(error) => {
                log(format_args!("cannot accept: {error}"));
                let pause = context.run(Timer::after(ACCEPT_PAUSE));
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
    shut_down: &Sender<()>,
    context: &CancelContext,
) -> Result<(), Infallible> {
    let answering = AtomicBool::new(false);
    let answering = &answering;
    let service = service_fn(async |request| {
        answering.store(true, Relaxed);
        let response = answer(request, shut_down).await;
        answering.store(false, Relaxed);
        response
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(SmolTimer::new())
            .serve_connection(FuturesIo::new(stream), service)
    );

    // The connection comes first: it reads what has arrived before it learns of the end.
    let served = match select(connection.as_mut(), context.cancelled()).await {
        Either::Left((served, _)) => served,
        Either::Right(_) => {
            // Closes the connection, after the request that it is at.
            connection.as_mut().graceful_shutdown();
            loop {
                match select(connection.as_mut(), Timer::after(CLIENT_PATIENCE)).await {
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

async fn answer(
    request: Request<Incoming>,
    shut_down: &Sender<()>,
) -> Result<Response<String>, Infallible> {
    let uri = request.uri();
    let (status, text) = match (request.method(), uri.path()) {
        (&Method::GET | &Method::HEAD, "/ping") => (StatusCode::OK, "pong".into()),
        (&Method::GET | &Method::HEAD, "/slow") => match parse_ms(uri.query()) {
            Ok(time) => {
                Timer::after(time).await;
                (StatusCode::OK, "done".into())
            }
            Err(reason) => (StatusCode::BAD_REQUEST, reason),
        },
        (&Method::POST, "/shutdown") => {
            _ = shut_down.try_send(()); // Full if we were told before.
            (StatusCode::OK, "shutting down".into())
        }
        _ => (StatusCode::NOT_FOUND, "not found".into()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    Ok(response)
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
async fn watch_shutdown(shutdowns: Receiver<()>, context: &CancelContext) -> io::Result<()> {
    if let Ok(Ok(())) = context.run(shutdowns.recv()).await {
        context.cancel_with("shutdown requested");
    }
    Ok(())
}

/// Waits for a signal.
async fn watch_signals(mut signals: Signals, context: &CancelContext) -> io::Result<()> {
    if let Ok(Some(signal)) = context.run(signals.next()).await {
        context.cancel_with(match signal? {
            Signal::Int => "got signal SIGINT",
            _ => "got signal SIGTERM",
        });
    }
    Ok(())
}

/// Like `println!`, but does not panic when nobody reads: a server goes on without its reader.
fn say(line: impl Display) {
    _ = writeln!(io::stdout(), "{line}");
}

/// Like `eprintln!`, but does not panic when nobody reads.
fn log(line: impl Display) {
    _ = writeln!(io::stderr(), "http_server: {line}");
}
