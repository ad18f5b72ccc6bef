//! The servers of the recipes, with clients: they serve whoever comes, an error of one client touches
//! no other, and when they are told to stop, their clients may finish until the grace is over.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use errgroup::{CancelContext, ErrGroup};
use futures::channel::oneshot;

/// Long enough for anything that is going to happen.
const PATIENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_millis(200);

/// Is sent by the client: the server's task fails.
const FAIL: u8 = b'x';
/// Is echoed as any other byte, and the server's task listens to nobody from then on.
const DEAF: u8 = b'd';
/// Is sent by a server that stops.
const BYE: u8 = b'.';

struct Client(std::net::TcpStream);

impl Client {
    fn new(addr: SocketAddr) -> Self {
        let stream = std::net::TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }

    fn says(&mut self, byte: u8) {
        self.0.write_all(&[byte]).unwrap();
    }

    /// `None` if the server has closed the connection.
    fn hears(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.0.read(&mut byte) {
            Ok(read) => (read > 0).then_some(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn echoes(&mut self, byte: u8) {
        self.says(byte);
        assert_eq!(self.hears(), Some(byte));
    }
}

/// What clients see of a server that stops with a grace.
fn visit(addr: SocketAddr, stop: oneshot::Sender<()>) {
    let mut first = Client::new(addr);
    first.echoes(b'a');
    let mut failing = Client::new(addr);
    failing.says(FAIL);
    assert_eq!(failing.hears(), None);
    first.echoes(b'b');
    let mut deaf = Client::new(addr);
    deaf.echoes(DEAF);
    stop.send(()).unwrap();
    assert_eq!(first.hears(), Some(BYE));
    assert_eq!(first.hears(), None);
    assert_eq!(deaf.hears(), None);
}

/// A context that is cancelled when the sender sends, or is gone.
fn stopped() -> (oneshot::Sender<()>, CancelContext) {
    let (stop, stopped) = oneshot::channel();
    let context = CancelContext::new().with_trigger(async move {
        _ = stopped.await;
        "time to stop"
    });
    (stop, context)
}

/// The client that failed, and the one that was deaf when the grace was over.
const ERRORS: [&str; 2] = ["a client: failed", "at the end: cancelled"];

// R7, R14, C5, G1

mod on_tokio {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::{Builder, Runtime};
    use tokio::time::{sleep, timeout};

    async fn read(stream: &TcpStream) -> io::Result<Option<u8>> {
        loop {
            stream.readable().await?;
            let mut byte = [0];
            match stream.try_read(&mut byte) {
                Ok(read) => return Ok((read > 0).then_some(byte[0])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn write(stream: &TcpStream, byte: u8) -> io::Result<()> {
        loop {
            stream.writable().await?;
            match stream.try_write(&[byte]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result.map(drop),
            }
        }
    }

    async fn serve(stream: TcpStream, context: &CancelContext) -> io::Result<()> {
        loop {
            match context.run(read(&stream)).await {
                Err(_) => return write(&stream, BYE).await,
                Ok(byte) => match byte? {
                    None => return Ok(()),
                    Some(FAIL) => return Err(io::Error::other("failed")),
                    Some(byte) => {
                        write(&stream, byte).await?;
                        if byte == DEAF {
                            std::future::pending::<()>().await;
                        }
                    }
                },
            }
        }
    }

    async fn server(listener: TcpListener, stop: CancelContext) -> io::Result<Vec<String>> {
        let mut errors = Vec::new();
        let (context, mut group) = ErrGroup::with_grace(&stop, || sleep(GRACE));
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    group.spawn(serve(stream, &context));
                }
                Some(outcome) = group.next() => {
                    if let Err(error) = outcome {
                        errors.push(format!("a client: {error}"));
                    }
                }
                _ = stop.cancelled() => break,
            }
        }
        for outcome in group.settle().await {
            if let Err(error) = outcome {
                errors.push(format!("at the end: {error}"));
            }
        }
        Ok(errors)
    }

    async fn driving_server(listener: TcpListener, stop: CancelContext) -> io::Result<()> {
        let accept = async || {
            tokio::select! {
                accepted = listener.accept() => Some(accepted),
                _ = stop.cancelled() => None,
            }
        };
        let mut group = ErrGroup::new().limit(1000);
        while group.ready().await {
            let Some(Some(accepted)) = group.drive(accept()).await else {
                break;
            };
            group.spawn(serve(accepted?.0, &stop));
        }
        group.await
    }

    fn runtimes() -> [Runtime; 2] {
        [
            Builder::new_current_thread().enable_all().build().unwrap(),
            Builder::new_multi_thread().enable_all().build().unwrap(),
        ]
    }

    #[test]
    fn a_server_that_selects_serves_until_it_is_stopped() {
        for runtime in runtimes() {
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                let (stop, context) = stopped();
                let visitor = thread::spawn(move || visit(addr, stop));
                let errors = timeout(PATIENCE, server(listener, context)).await.unwrap();
                visitor.join().unwrap();
                assert_eq!(errors.unwrap(), ERRORS);
            });
        }
    }

    #[test]
    fn a_server_that_drives_serves_until_it_is_stopped() {
        for runtime in runtimes() {
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                let (stop, context) = stopped();
                let visitor = thread::spawn(move || {
                    let mut clients = [Client::new(addr), Client::new(addr)];
                    clients.iter_mut().for_each(|client| client.echoes(b'a'));
                    stop.send(()).unwrap();
                    for client in &mut clients {
                        assert_eq!(client.hears(), Some(BYE));
                    }
                });
                let result = timeout(PATIENCE, driving_server(listener, context)).await;
                visitor.join().unwrap();
                result.unwrap().unwrap();
            });
        }
    }
}

mod on_smol {
    use super::*;
    use futures::{FutureExt, StreamExt, select};
    use smol::Timer;
    use smol::io::{AsyncReadExt, AsyncWriteExt};
    use smol::net::{TcpListener, TcpStream};

    async fn serve(mut stream: TcpStream, context: &CancelContext) -> io::Result<()> {
        loop {
            let mut byte = [0];
            match context.run(stream.read(&mut byte)).await {
                Err(_) => return stream.write_all(&[BYE]).await,
                Ok(read) => match (read?, byte[0]) {
                    (0, _) => return Ok(()),
                    (_, FAIL) => return Err(io::Error::other("failed")),
                    (_, byte) => {
                        stream.write_all(&[byte]).await?;
                        if byte == DEAF {
                            std::future::pending::<()>().await;
                        }
                    }
                },
            }
        }
    }

    /// Gives the number of turns of its loop, too.
    async fn server(
        listener: TcpListener,
        stop: CancelContext,
    ) -> io::Result<(Vec<String>, usize)> {
        let (mut errors, mut turns) = (Vec::new(), 0);
        let (context, mut group) = ErrGroup::with_grace(&stop, || Timer::after(GRACE));
        let open = group.keep_open();
        let mut incoming = listener.incoming().fuse();
        let mut stopped = stop.cancelled();
        loop {
            turns += 1;
            select! {
                stream = incoming.select_next_some() => group.spawn(serve(stream?, &context)),
                outcome = group.next().fuse() => {
                    if let Some(Err(error)) = outcome {
                        errors.push(format!("a client: {error}"));
                    }
                }
                _ = stopped => break,
            }
        }
        drop(open);
        for outcome in group.settle().await {
            if let Err(error) = outcome {
                errors.push(format!("at the end: {error}"));
            }
        }
        Ok((errors, turns))
    }

    #[test]
    fn a_server_that_selects_serves_until_it_is_stopped_and_does_not_spin() {
        smol::block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let (stop, context) = stopped();
            let visitor = thread::spawn(move || visit(addr, stop));
            let (errors, turns) = server(listener, context).await.unwrap();
            visitor.join().unwrap();
            assert_eq!(errors, ERRORS);
            // Three clients, one that has failed, and the stop; or, when both that and the end of a
            // client are there, `select!` chooses.
            assert!((5..=8).contains(&turns), "{turns}");
        });
    }
}
