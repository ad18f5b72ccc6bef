//! What the example `http_server` promises, and `http_axum` as well, asked of the real binaries over
//! real sockets and with real signals.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::example::{self, End, Lines, PATIENCE, Process};
use rustix::process::{Pid, Signal, kill_process};

/// Every test below, against one server.
macro_rules! against {
    ($example:ident) => {
        mod $example {
            against! { @each $example
                answers_what_it_is_asked
                head_is_get_without_the_text
                answers_several_requests_on_one_connection
                slow_takes_its_time
                goes_at_sigterm
                goes_at_sigint
                goes_when_it_is_told_to_shut_down
                request_in_flight_survives_sigterm
                request_in_flight_survives_a_shutdown_followed_by_a_signal
                request_that_came_just_before_the_signal_is_answered
                request_that_outlives_the_grace_is_dropped
                second_signal_ends_the_grace
                refuses_connections_while_it_finishes
                idle_connections_do_not_hold_up_the_exit
                half_a_request_head_is_not_waited_for_until_the_end
                request_head_that_was_half_sent_may_be_completed
                two_hundred_connections_are_served_at_once
                two_hundred_requests_in_flight_survive_sigterm
                garbage_harms_nobody_else
                clients_that_hang_up_harm_nobody_else
                pipelining_client_that_stops_reading_does_not_hold_up_the_exit
                lack_of_file_descriptors_is_sat_out
                reader_of_stdout_that_has_gone_changes_nothing
                stdout_that_nobody_ever_reads_changes_nothing
                says_that_the_address_is_in_use
                says_what_is_wrong_with_its_arguments
                helps
            }
        }
    };
    (@each $example:ident $($test:ident)*) => {
        $(
            #[test]
            fn $test() {
                super::$test(stringify!($example));
            }
        )*
    };
}

against!(http_server);
#[cfg(feature = "tokio")]
against!(http_axum);

const GRACE: Duration = Duration::from_secs(3);
/// Well under the grace, with room for a busy machine.
const AT_ONCE: Duration = Duration::from_secs(2);

fn answers_what_it_is_asked(example: &str) {
    let server = Server::start(example);
    server.get("/ping").expect(200, "pong");
    server.get("/slow?ms=0").expect(200, "done");
    server.get("/slow?ms=1&more=2").expect(200, "done");

    for (method, path) in [
        ("GET", "/"),
        ("GET", "/pin"),
        ("GET", "/ping/"),
        ("GET", "/shutdown"),
        ("POST", "/ping"),
        ("POST", "/slow?ms=0"),
        ("DELETE", "/shutdown"),
    ] {
        assert_eq!(server.ask(method, path).status, 404, "{method} {path}");
    }
    for path in [
        "/slow",
        "/slow?",
        "/slow?ms",
        "/slow?ms=",
        "/slow?ms=abc",
        "/slow?ms=-1",
        "/slow?ms=1.5",
        "/slow?ms=18446744073709551616",
        "/slow?seconds=1",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text.contains("ms"), "{path}: {answer:?}");
    }
    server.get("/ping").expect(200, "pong");
}

fn head_is_get_without_the_text(example: &str) {
    let server = Server::start(example);
    let mut client = server.connect();
    for (path, status, length) in [
        ("/ping", 200, "pong".len()),
        ("/slow?ms=0", 200, "done".len()),
        ("/slow?ms=x", 400, 0),
        ("/shutdown", 404, 0),
        ("/", 404, 0),
    ] {
        client.request("HEAD", path);
        let head = client.receive_head();
        assert_eq!(head.status, status, "{path}");
        assert!(head.length >= length, "{path}");
        // There was no text between the two.
        client.ask("GET", "/ping").expect(200, "pong");
    }
}

fn answers_several_requests_on_one_connection(example: &str) {
    let server = Server::start(example);
    let mut client = server.connect();
    for _ in 0..3 {
        client.ask("GET", "/ping").expect(200, "pong");
        client.ask("GET", "/slow?ms=x").expect_status(400);
        client.ask("POST", "/ping").expect_status(404);
    }
}

fn slow_takes_its_time(example: &str) {
    let server = Server::start(example);
    let start = Instant::now();
    server.get("/slow?ms=300").expect(200, "done");
    assert!(start.elapsed() >= Duration::from_millis(300));
}

fn goes_at_sigterm(example: &str) {
    let server = Server::start(example);
    let end = at_once(|| server.end_by(Signal::TERM));
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
    assert!(end.stderr.is_empty(), "{end:?}");
}

fn goes_at_sigint(example: &str) {
    let server = Server::start(example);
    let end = at_once(|| server.end_by(Signal::INT));
    end.expect(0, &["errgroup exiting: got signal SIGINT"]);
    assert!(end.stderr.is_empty(), "{end:?}");
}

fn goes_when_it_is_told_to_shut_down(example: &str) {
    let server = Server::start(example);
    let end = at_once(|| {
        server.ask("POST", "/shutdown").expect(200, "shutting down");
        server.process.end()
    });
    end.expect(0, &["errgroup exiting: shutdown requested"]);
    assert!(end.stderr.is_empty(), "{end:?}");
}

fn request_in_flight_survives_sigterm(example: &str) {
    let server = Server::start(example);
    let start = Instant::now();
    let mut client = server.request_in_flight("/slow?ms=1500");
    server.signal(Signal::TERM);
    server.wait_until_it_refuses();
    client.receive().expect(200, "done");
    assert!(start.elapsed() >= Duration::from_millis(1500));
    client.expect_closed();

    let end = server.process.end();
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
}

/// As when a container is asked to shut down first, and gets its signal afterwards.
fn request_in_flight_survives_a_shutdown_followed_by_a_signal(example: &str) {
    let server = Server::start(example);
    let mut client = server.request_in_flight("/slow?ms=1500");
    server.ask("POST", "/shutdown").expect(200, "shutting down");
    server.wait_until_it_refuses();
    server.signal(Signal::TERM);
    client.receive().expect(200, "done");

    let end = server.process.end();
    end.expect(0, &["errgroup exiting: shutdown requested"]);
}

fn request_that_came_just_before_the_signal_is_answered(example: &str) {
    let server = Server::start(example);
    let mut fresh = server.connect();
    let mut used = server.connect();
    used.ask("GET", "/ping").expect(200, "pong");

    // When it goes on, it finds everything at once.
    server.signal(Signal::STOP);
    fresh.request("GET", "/ping");
    used.request("GET", "/slow?ms=100");
    server.signal(Signal::TERM);
    server.signal(Signal::CONT);
    fresh.receive().expect(200, "pong");
    used.receive().expect(200, "done");

    let end = server.process.end();
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
}

fn request_that_outlives_the_grace_is_dropped(example: &str) {
    let server = Server::start(example);
    let mut long = server.request_in_flight("/slow?ms=60000");
    let mut short = server.request_in_flight("/slow?ms=1000");
    let start = Instant::now();
    let end = server.end_by(Signal::TERM);
    let elapsed = start.elapsed();

    end.expect(1, &["errgroup exiting: got signal SIGTERM"]);
    assert_eq!(end.stderr.len(), 1, "{end:?}");
    assert!(elapsed >= GRACE, "{elapsed:?}");
    assert!(elapsed < 2 * GRACE, "{elapsed:?}");
    short.receive().expect(200, "done");
    long.expect_closed();
}

fn second_signal_ends_the_grace(example: &str) {
    let server = Server::start(example);
    let _client = server.request_in_flight("/slow?ms=60000");
    let end = at_once(|| {
        server.signal(Signal::TERM);
        server.wait_until_it_refuses();
        server.end_by(Signal::INT)
    });
    end.expect(1, &["errgroup exiting: got signal SIGTERM"]);
}

fn refuses_connections_while_it_finishes(example: &str) {
    let mut server = Server::start(example);
    let mut client = server.request_in_flight("/slow?ms=60000");
    at_once(|| {
        server.signal(Signal::TERM);
        server.wait_until_it_refuses();
    });
    assert!(server.process.is_running());
    assert!(client.is_silent());
}

fn idle_connections_do_not_hold_up_the_exit(example: &str) {
    let server = Server::start(example);
    let mut fresh = server.connect();
    let mut used = server.connect();
    for _ in 0..2 {
        used.ask("GET", "/ping").expect(200, "pong");
    }
    let end = at_once(|| server.end_by(Signal::TERM));
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
    assert!(end.stderr.is_empty(), "{end:?}");
    used.expect_closed();
    fresh.expect_closed();
}

fn half_a_request_head_is_not_waited_for_until_the_end(example: &str) {
    let server = Server::start(example);
    let mut client = server.connect();
    client.send("GET /ping HT");
    server.get("/ping").expect(200, "pong");

    let end = server.end_by(Signal::TERM);
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
    client.expect_closed();
}

fn request_head_that_was_half_sent_may_be_completed(example: &str) {
    let server = Server::start(example);
    let mut client = server.connect();
    client.send("GET /slow?ms=1500 HT");
    server.get("/ping").expect(200, "pong");

    server.signal(Signal::TERM);
    server.wait_until_it_refuses();
    client.send("TP/1.1\r\nHost: test\r\n\r\n");
    client.receive().expect(200, "done");

    let end = server.process.end();
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
}

fn two_hundred_connections_are_served_at_once(example: &str) {
    let server = Server::start(example);
    let start = Instant::now();
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    // Each has to be answered while all the others are open.
    for client in &mut clients {
        client.ask("GET", "/ping").expect(200, "pong");
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    for client in &mut clients {
        client.request("GET", "/slow?ms=500");
    }
    for client in &mut clients {
        client.receive().expect(200, "done");
        // One after the other would be 100 s.
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    let end = at_once(|| server.end_by(Signal::TERM));
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
}

fn two_hundred_requests_in_flight_survive_sigterm(example: &str) {
    let server = Server::start(example);
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.request("GET", "/slow?ms=1000");
    }
    server.get("/ping").expect(200, "pong");

    let end = server.end_by(Signal::TERM);
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
    for client in &mut clients {
        client.receive().expect(200, "done");
    }
}

fn garbage_harms_nobody_else(example: &str) {
    let server = Server::start(example);
    let mut other = server.request_in_flight("/slow?ms=300");
    for garbage in [
        "\0\0\0\0\r\n\r\n",
        "who are you?\r\n\r\n",
        "\u{16}\u{3}\u{1}",
    ] {
        let mut client = server.connect();
        client.send(garbage);
        server.get("/ping").expect(200, "pong");
    }
    other.receive().expect(200, "done");

    let end = server.end_by(Signal::TERM);
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
}

fn clients_that_hang_up_harm_nobody_else(example: &str) {
    let server = Server::start(example);
    let mut other = server.request_in_flight("/slow?ms=300");

    let waiting = server.request_in_flight("/slow?ms=60000");
    drop(waiting);

    let mut writing = server.connect();
    writing.send("GET /pi");
    drop(writing);

    // There is something that it has not read, so this one resets the connection.
    let mut reading = server.connect();
    reading.request("GET", "/ping");
    server.get("/ping").expect(200, "pong");
    drop(reading);

    server.get("/ping").expect(200, "pong");
    other.receive().expect(200, "done");

    // Nobody waits for an answer to the minute.
    let end = at_once(|| server.end_by(Signal::TERM));
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
}

fn pipelining_client_that_stops_reading_does_not_hold_up_the_exit(example: &str) {
    let server = Server::start(example);
    let mut client = server.connect();
    client.pipeline_until_it_is_full("/ping");
    server.get("/ping").expect(200, "pong");

    let start = Instant::now();
    let end = server.end_by(Signal::TERM);
    assert!(start.elapsed() < GRACE, "{:?}", start.elapsed());
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
    assert!(end.stderr.is_empty(), "{end:?}");
}

/// As with `http_server | head -n 1`.
fn reader_of_stdout_that_has_gone_changes_nothing(example: &str) {
    let mut child = spawn_to_be_read(example, "127.0.0.1:0");
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    let server = Server {
        process: unheard(child),
        addr: address(line.trim_end()),
    };
    server.get("/ping").expect(200, "pong");

    let end = at_once(|| server.end_by(Signal::TERM));
    end.expect(0, &[]);
    assert!(end.stderr.is_empty(), "{end:?}");
}

fn stdout_that_nobody_ever_reads_changes_nothing(example: &str) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap();
    drop(free);
    let mut child = spawn_to_be_read(example, &addr.to_string());
    drop(child.stdout.take());
    let process = unheard(child);
    let server = Server { process, addr };
    let start = Instant::now();
    while TcpStream::connect(addr).is_err() {
        assert!(start.elapsed() < PATIENCE, "it does not listen");
        thread::sleep(Duration::from_millis(5));
    }
    server.get("/ping").expect(200, "pong");

    let end = at_once(|| server.end_by(Signal::TERM));
    end.expect(0, &[]);
    assert!(end.stderr.is_empty(), "{end:?}");
}

fn spawn_to_be_read(example: &str, addr: &str) -> Child {
    let mut command = Command::new(example::binary(example));
    command.args(["--addr", addr]).stdin(Stdio::null());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// A process whose standard output has nobody to read it.
fn unheard(mut child: Child) -> Process {
    Process {
        stdout: Lines::of(io::empty()),
        stderr: Lines::of(child.stderr.take().unwrap()),
        child,
    }
}

fn lack_of_file_descriptors_is_sat_out(example: &str) {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""])
        .arg(example::binary(example))
        .args(["--addr", "127.0.0.1:0"]);
    let server = Server::from(Process::spawn(&mut command));

    let start = Instant::now();
    let clients: Vec<_> = (0..80).map(|_| server.connect()).collect();
    for _ in 0..3 {
        let error = server.process.stderr.next();
        assert!(error.contains("cannot accept"), "{error}");
    }
    // It takes breath between two attempts.
    assert!(start.elapsed() >= Duration::from_millis(200));

    drop(clients);
    server.get("/ping").expect(200, "pong");
    let end = at_once(|| server.end_by(Signal::TERM));
    end.expect(0, &["errgroup exiting: got signal SIGTERM"]);
}

fn says_that_the_address_is_in_use(example: &str) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();

    let end = run(example, &["--addr", &addr]);
    end.expect(1, &[]);
    assert_eq!(end.stderr.len(), 1, "{end:?}");
    assert!(end.stderr[0].contains(&addr), "{end:?}");
    assert!(end.stderr[0].contains("in use"), "{end:?}");
}

fn says_what_is_wrong_with_its_arguments(example: &str) {
    for (args, said) in [
        (&["--addr", "nowhere"] as &[_], "nowhere"),
        (&["--addr", "127.0.0.1"], "127.0.0.1"),
        (&["--addr", "127.0.0.1:65536"], "127.0.0.1:65536"),
        (&["--addr", ""], "socket address"),
        (&["--addr"], "--addr"),
        (&["--port", "80"], "--port"),
        (&["127.0.0.1:0"], "127.0.0.1:0"),
    ] {
        let end = run(example, args);
        end.expect(1, &[]);
        assert_eq!(end.stderr.len(), 1, "{args:?}: {end:?}");
        assert!(end.stderr[0].contains(said), "{args:?}: {end:?}");
    }
}

fn helps(example: &str) {
    let process = Process::spawn(Command::new(example::binary(example)).arg("--help"));
    let end = process.end();
    end.expect_code(0);
    let help = end.stdout.join("\n");
    assert!(help.contains("--addr"), "{help}");
    assert!(help.contains("127.0.0.1:8080"), "{help}");
}

/// Runs a server that is not going to serve.
fn run(example: &str, args: &[&str]) -> End {
    Process::spawn(Command::new(example::binary(example)).args(args)).end()
}

#[track_caller]
fn at_once<R>(f: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let result = f();
    let elapsed = start.elapsed();
    assert!(elapsed < AT_ONCE, "took {elapsed:?}");
    result
}

/// A server that listens.
struct Server {
    process: Process,
    addr: SocketAddr,
}

impl Server {
    fn start(example: &str) -> Server {
        let mut command = Command::new(example::binary(example));
        Process::spawn(command.args(["--addr", "127.0.0.1:0"])).into()
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect_timeout(&self.addr, PATIENCE).expect("it accepts");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(BufReader::new(stream))
    }

    fn ask(&self, method: &str, path: &str) -> Answer {
        self.connect().ask(method, path)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path)
    }

    /// Sends a request, and sees to it that the server has it.
    fn request_in_flight(&self, path: &str) -> Client {
        let mut client = self.connect();
        client.request("GET", path);
        // Whoever has answered the later one has read the earlier one.
        self.get("/ping").expect(200, "pong");
        client
    }

    fn wait_until_it_refuses(&self) {
        let start = Instant::now();
        loop {
            match TcpStream::connect_timeout(&self.addr, PATIENCE) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return,
                // Resets are for those who came just before.
                Ok(_) | Err(_) => assert!(start.elapsed() < PATIENCE, "it still accepts"),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process.child), signal).unwrap();
    }

    fn end_by(self, signal: Signal) -> End {
        self.signal(signal);
        self.process.end()
    }
}

impl From<Process> for Server {
    fn from(process: Process) -> Server {
        let addr = address(&process.stdout.next());
        Server { process, addr }
    }
}

/// The address that a server says it listens on.
fn address(line: &str) -> SocketAddr {
    let addr = line.strip_prefix("listening on http://");
    let addr: SocketAddr = addr.expect(line).parse().expect(line);
    assert_ne!(addr.port(), 0);
    addr
}

/// A client that speaks just enough HTTP.
struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn request(&mut self, method: &str, path: &str) {
        self.send(&format!("{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }

    fn ask(&mut self, method: &str, path: &str) -> Answer {
        self.request(method, path);
        self.receive()
    }

    /// Sends requests and reads no answer, until the server takes no more of them.
    fn pipeline_until_it_is_full(&mut self, path: &str) {
        let requests = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").repeat(1_000);
        let stream = self.0.get_mut();
        // The server has much to answer before it is stuck with its answers.
        let patience = Duration::from_secs(2);
        stream.set_write_timeout(Some(patience)).unwrap();
        loop {
            match stream.write_all(requests.as_bytes()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn receive(&mut self) -> Answer {
        let Head { status, length } = self.receive_head();
        let mut text = vec![0; length];
        self.0.read_exact(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        Answer { status, text }
    }

    fn receive_head(&mut self) -> Head {
        let line = self.line();
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = status.expect(&line).parse().expect(&line);
        let mut length = 0;
        loop {
            let header = self.line().to_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().expect(&header);
            }
        }
        Head { status, length }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "{line:?}");
        line.trim_end().into()
    }

    /// Whether nothing has come.
    fn is_silent(&mut self) -> bool {
        self.0.get_ref().set_nonblocking(true).unwrap();
        let read = self.0.fill_buf().map(<[u8]>::len);
        self.0.get_ref().set_nonblocking(false).unwrap();
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Waits until the server has closed the connection, without another word.
    #[track_caller]
    fn expect_closed(&mut self) {
        match self.0.fill_buf() {
            Ok(text) => assert_eq!(text, b""),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }
}

struct Head {
    status: u16,
    /// The length of the text that belongs to it.
    length: usize,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    text: String,
}

impl Answer {
    #[track_caller]
    fn expect(&self, status: u16, text: &str) {
        assert_eq!((self.status, &*self.text), (status, text));
    }

    #[track_caller]
    fn expect_status(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
    }
}
