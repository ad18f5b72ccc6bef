//! What the small examples print, as real processes.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::example::{self, End, PATIENCE, Process};

#[test]
fn first_error_drops_the_siblings_and_gives_back_what_they_borrowed() {
    let start = Instant::now();
    let end = run("first_error", &[]);
    // Two of the tasks would take a minute.
    assert!(start.elapsed() < Duration::from_secs(30));
    end.expect_code(0);

    let (closed, told) = end.stdout.split_at(end.stdout.len() - 2);
    // Siblings are dropped in no promised order.
    let mut closed = closed.to_vec();
    closed.sort();
    assert_eq!(
        closed,
        ["a.txt", "b.txt", "c.txt", "d.txt"]
            .map(|file| format!("closing the connection of {file}"))
    );
    assert_eq!(told, ["failed: b.txt not found", "loaded 1 of 4"]);
}

#[test]
fn all_errors_prints_every_outcome_and_the_aggregated_error() {
    run("all_errors", &[]).expect(
        0,
        &[
            "task 0: database",
            "task 1 failed: cache does not answer",
            "task 2: mail",
            "1 of 3 tasks failed: task 1: cache does not answer",
        ],
    );
}

#[test]
fn accept_loop_echoes() {
    let server = AcceptLoop::start(2);
    let mut one = server.connect();
    let mut two = server.connect();
    for text in ["hello", "world"] {
        assert_eq!(one.ask(text), text);
        assert_eq!(two.ask(text), text);
    }
    drop((one, two));
    server.process.end().expect(0, &[]);
}

#[test]
fn accept_loop_lets_the_fifth_client_wait_until_another_has_left() {
    let server = AcceptLoop::start(5);
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask("hello"), "hello");
    }

    let mut fifth = server.connect();
    fifth.send("is there room?");
    // Time for the server to do it wrong: meanwhile it has answered somebody else, twice.
    for _ in 0..2 {
        assert_eq!(clients[0].ask("still here"), "still here");
    }
    assert!(fifth.is_silent());

    clients.pop();
    assert_eq!(fifth.receive("is there room?".len()), "is there room?");

    clients.clear();
    drop(fifth);
    server.process.end().expect(0, &[]);
}

#[test]
fn accept_loop_finishes_with_its_last_client() {
    let mut server = AcceptLoop::start(1);
    let mut client = server.connect();
    assert_eq!(client.ask("hello"), "hello");
    assert!(server.process.is_running());
    drop(client);
    server.process.end().expect(0, &[]);
}

#[test]
fn accept_loop_names_the_address_it_cannot_listen_on() {
    let end = run("accept_loop", &["--addr", "x"]);
    end.expect(1, &[]);
    assert_eq!(end.stderr.len(), 1, "{end:?}");
    assert!(end.stderr[0].starts_with("Error: x: "), "{end:?}");
}

/// Runs an example to its end.
fn run(example: &str, args: &[&str]) -> End {
    Process::spawn(Command::new(example::binary(example)).args(args)).end()
}

struct AcceptLoop {
    process: Process,
    addr: SocketAddr,
}

impl AcceptLoop {
    /// It ends after so many clients.
    fn start(connections: usize) -> AcceptLoop {
        let mut command = Command::new(example::binary("accept_loop"));
        command.args(["--addr", "127.0.0.1:0", "--connections"]);
        let process = Process::spawn(command.arg(connections.to_string()));
        let line = process.stdout.next();
        let addr = line.strip_prefix("listening on ").expect(&line);
        let addr = addr.parse().expect(&line);
        AcceptLoop { process, addr }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect_timeout(&self.addr, PATIENCE).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }
}

struct Client(TcpStream);

impl Client {
    fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    fn receive(&mut self, length: usize) -> String {
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.receive(text.len())
    }

    /// Whether nothing has come.
    fn is_silent(&mut self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}
