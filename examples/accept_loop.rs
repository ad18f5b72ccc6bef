//! A server that never has more than four clients: the fifth waits until one has left.
//!
//! ```sh
//! cargo run --example accept_loop
//! cargo run --example accept_loop -- --addr 127.0.0.1:0 --connections 10
//!
//! nc localhost 7007
//! ```
//!
//! It says back whatever it is told. The two calls to look at are `ready` and `drive`: whatever
//! the loop waits for, its clients are served meanwhile.

use std::io;

use errgroup::ErrGroup;
use smol::net::{TcpListener, TcpStream};
use smol::stream::StreamExt;

const LIMIT: usize = 4;

fn main() -> Result<(), lexopt::Error> {
    use lexopt::prelude::*;

    let mut addr = "127.0.0.1:7007".to_string();
    let mut connections = usize::MAX;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("addr") => addr = args.value()?.string()?,
            Long("connections") => connections = args.value()?.parse()?,
            _ => return Err(arg.unexpected()),
        }
    }
    smol::block_on(serve(&addr, connections)).map_err(|error| format!("{addr}: {error}").into())
}

async fn serve(addr: &str, connections: usize) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut clients = listener.incoming().take(connections);

    let mut group = ErrGroup::new().limit(LIMIT);
    while group.ready().await {
        let Some(Some(client)) = group.drive(clients.next()).await else {
            break;
        };
        group.spawn(echo(client?));
    }
    group.await
}

/// A client that fails must not end the server, so this never does.
async fn echo(client: TcpStream) -> io::Result<()> {
    if let Err(error) = smol::io::copy(client.clone(), client).await {
        eprintln!("a client: {error}");
    }
    Ok(())
}
