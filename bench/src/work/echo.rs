//! A tokio echo server on a thread of its own, with its connections in a set, and 64 clients on
//! another thread, each of which sends its next request when it has got its answer. A unit is a
//! request.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use errgroup::ErrGroup;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::row::{Contender, Room, Row};

const CLIENTS: usize = 64;
/// Of each client.
const REQUESTS: usize = 50;
const BYTES: usize = 64;

pub(crate) fn rows() -> Vec<Row> {
    let row = |name, figure: fn(&Load) -> f64| {
        let contenders = vec![
            measured("errgroup", group, figure),
            measured("JoinSet", join_set, figure),
            measured("FuturesUnordered", unordered, figure),
            measured("futures-buffered", buffered, figure),
        ];
        Row::new(Room::Echo, name, "request", contenders).median()
    };
    vec![
        row("an echo server, time for a request", |load| load.mean),
        row("an echo server, latency, 99th percentile", |load| load.high),
    ]
}

async fn group(listener: TcpListener) {
    let mut group = ErrGroup::new();
    for _ in 0..CLIENTS {
        let accepted = group.drive(listener.accept()).await;
        group.spawn(serve(accepted.expect("no connection failed").unwrap().0));
    }
    group.await.unwrap();
}

async fn join_set(listener: TcpListener) {
    let mut set = JoinSet::new();
    for _ in 0..CLIENTS {
        set.spawn(serve(listener.accept().await.unwrap().0));
    }
    while let Some(outcome) = set.join_next().await {
        outcome.unwrap().unwrap();
    }
}

async fn unordered(listener: TcpListener) {
    let mut set = FuturesUnordered::new();
    let mut accepted = 0;
    while accepted < CLIENTS {
        tokio::select! {
            connection = listener.accept() => {
                set.push(Box::pin(serve(connection.unwrap().0)));
                accepted += 1;
            }
            Some(outcome) = set.next() => outcome.unwrap(),
        }
    }
    while let Some(outcome) = set.next().await {
        outcome.unwrap();
    }
}

async fn buffered(listener: TcpListener) {
    let mut set = futures_buffered::FuturesUnordered::new();
    let mut accepted = 0;
    while accepted < CLIENTS {
        tokio::select! {
            connection = listener.accept() => {
                set.push(Box::pin(serve(connection.unwrap().0)));
                accepted += 1;
            }
            Some(outcome) = set.next() => outcome.unwrap(),
        }
    }
    while let Some(outcome) = set.next().await {
        outcome.unwrap();
    }
}

async fn serve(mut connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut buffer = [0; BYTES];
    loop {
        match connection.read(&mut buffer).await? {
            0 => return Ok(()),
            read => connection.write_all(&buffer[..read]).await?,
        }
    }
}

/// In nanoseconds.
struct Load {
    mean: f64,
    high: f64,
}

fn measured<Fut>(
    name: &'static str,
    serve: fn(TcpListener) -> Fut,
    figure: fn(&Load) -> f64,
) -> Contender
where
    Fut: Future<Output = ()> + 'static,
{
    Contender::new(name, move || {
        let (address_to, address_of) = mpsc::channel();
        thread::scope(|scope| {
            let server = scope.spawn(move || {
                runtime().block_on(async {
                    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                    address_to.send(listener.local_addr().unwrap()).unwrap();
                    serve(listener).await;
                });
            });
            let load = runtime().block_on(load(address_of.recv().unwrap()));
            server.join().unwrap();
            figure(&load)
        })
    })
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_io().build().unwrap()
}

async fn load(address: SocketAddr) -> Load {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        let connection = TcpStream::connect(address).await.unwrap();
        connection.set_nodelay(true).unwrap();
        connections.push(connection);
    }
    let start = Instant::now();
    let mut clients: JoinSet<_> = connections.into_iter().map(client).collect();
    let mut latencies = Vec::new();
    while let Some(client) = clients.join_next().await {
        latencies.extend(client.unwrap());
    }
    let mean = start.elapsed().as_nanos() as f64 / latencies.len() as f64;
    assert_eq!(latencies.len(), CLIENTS * REQUESTS, "answers");
    latencies.sort_by(f64::total_cmp);
    let high = latencies[latencies.len() * 99 / 100];
    Load { mean, high }
}

/// The latencies of its requests.
async fn client(mut connection: TcpStream) -> Vec<f64> {
    let mut latencies = Vec::with_capacity(REQUESTS);
    for number in 0..REQUESTS {
        let request = [number as u8; BYTES];
        let mut answer = [0; BYTES];
        let start = Instant::now();
        connection.write_all(&request).await.unwrap();
        connection.read_exact(&mut answer).await.unwrap();
        latencies.push(start.elapsed().as_nanos() as f64);
        assert_eq!(request, answer);
    }
    latencies
}
