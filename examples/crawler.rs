//! Crawls a site, each page once, with at most eight requests at a time.
//!
//! ```sh
//! cargo run --example crawler
//! cargo run --example crawler -- --strict    # the first broken link ends it
//! ```
//!
//! Whoever reads a page spawns the visits of those it links to, into the same group: `spawn` never
//! waits, so no task can hold the slot that it waits for. The group is done when nobody has found
//! anything new.
//!
//! The site is part of the program, and real: a server on the loopback interface, with hundreds of
//! pages that link in circles, and some links that lead nowhere.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use errgroup::{ErrGroup, ErrSpawner};
use futures::future::try_join;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HOST};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server};
use smol::Timer;
use smol::net::{TcpListener, TcpStream};
use smol_hyper::rt::FuturesIo;

const AT_ONCE: usize = 8;
const PAGES: usize = 300;
/// How long the site takes to answer.
const ANSWER: Duration = Duration::from_millis(5);

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), lexopt::Error> {
    use lexopt::prelude::*;

    let mut strict = false;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            Long("strict") => strict = true,
            _ => return Err(arg.unexpected()),
        }
    }
    smol::block_on(run(strict)).map_err(|error| error.to_string().into())
}

async fn run(strict: bool) -> Result<(), Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let crawler = Crawler {
        site: listener.local_addr()?,
        strict,
        found: Mutex::default(),
    };
    println!("crawling http://{}", crawler.site);

    // The site runs beside the crawler, for as long as that needs it.
    let site = Site::default();
    let mut serving = ErrGroup::new();
    serving.spawn(site.serve(listener));
    let Some(crawled) = serving.drive(crawler.crawl()).await else {
        return Ok(serving.await?);
    };
    drop(serving);

    let (requests, peak) = (site.requests.into_inner(), site.peak.into_inner());
    println!("{requests} requests, at most {peak} at once");
    let found = crawled?;
    println!(
        "{} pages, {} broken links",
        found.pages,
        found.broken().count()
    );
    for (from, to) in found.broken() {
        println!("{from} -> {to}");
    }
    Ok(())
}

struct Crawler {
    site: SocketAddr,
    strict: bool,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    pages: usize,
    /// The paths that somebody has visited, or is about to.
    seen: HashSet<String>,
    /// Those of them where there is nothing.
    missing: HashSet<String>,
    /// From where to where.
    links: BTreeSet<(String, String)>,
}

impl Found {
    fn broken(&self) -> impl Iterator<Item = &(String, String)> {
        self.links
            .iter()
            .filter(|(_, to)| self.missing.contains(to))
    }
}

impl Crawler {
    async fn crawl(&self) -> Result<Found, Error> {
        let mut group = ErrGroup::new().limit(AT_ONCE);
        self.found().seen.insert("/".into());
        group.spawn(self.visit("/".into(), group.spawner()));
        group.await?;
        Ok(mem::take(&mut *self.found()))
    }

    // The type of an `async fn` would contain itself.
    #[expect(clippy::manual_async_fn)]
    fn visit<'env>(
        &'env self,
        path: String,
        spawner: ErrSpawner<'env, (), Error>,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'env {
        async move {
            let (status, page) = self.get(&path).await?;
            if status != StatusCode::OK {
                if self.strict {
                    return Err(format!("{path}: {status}").into());
                }
                self.found().missing.insert(path);
                return Ok(());
            }
            let mut found = self.found();
            found.pages += 1;
            for link in page.split("<a href=\"").skip(1) {
                let link = link.split('"').next().unwrap_or_default();
                if found.seen.insert(link.into()) {
                    spawner.spawn(self.visit(link.into(), spawner.clone()));
                }
                found.links.insert((path.clone(), link.into()));
            }
            Ok(())
        }
    }

    /// Asks for a page, on a connection of its own.
    async fn get(&self, path: &str) -> Result<(StatusCode, String), Error> {
        let stream = FuturesIo::new(TcpStream::connect(self.site).await?);
        let (mut sender, connection) = client::conn::http1::handshake(stream).await?;
        let request = Request::get(path)
            .header(HOST, self.site.to_string())
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let ((status, page), ()) = try_join(answer, connection).await?;
        Ok((status, String::from_utf8(page.into())?))
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().expect("nobody panics")
    }
}

/// Counts what it is asked.
#[derive(Default)]
struct Site {
    requests: AtomicUsize,
    running: AtomicUsize,
    peak: AtomicUsize,
}

impl Site {
    async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let mut connections = ErrGroup::<(), Infallible>::new();
        while let Some(accepted) = connections.drive(listener.accept()).await {
            let (stream, _) = accepted?;
            connections.spawn(async {
                let service = service_fn(|request| self.answer(request));
                let connection = server::conn::http1::Builder::new()
                    .serve_connection(FuturesIo::new(stream), service);
                _ = connection.await; // Clients may hang up.
                Ok(())
            });
        }
        Ok(())
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<String>, Infallible> {
        self.requests.fetch_add(1, Relaxed);
        let running = self.running.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(running, Relaxed);
        Timer::after(ANSWER).await;
        self.running.fetch_sub(1, Relaxed);

        let mut response = Response::new(String::new());
        match page_number(request.uri().path()) {
            Some(number) => *response.body_mut() = page(number),
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        Ok(response)
    }
}

fn page_number(path: &str) -> Option<usize> {
    if path == "/" {
        return Some(0);
    }
    let number = path.strip_prefix("/page/")?.parse().ok()?;
    (1..PAGES).contains(&number).then_some(number)
}

/// A page that links to its two children in a tree, back to somewhere else, and home.
fn page(number: usize) -> String {
    let mut page = format!("<h1>Page {number}</h1>\n<a href=\"/\">home</a>\n");
    let mut link = |to: String| page += &format!("<a href=\"{to}\">see {to}</a>\n");
    for to in [2 * number + 1, 2 * number + 2, number * 7 % PAGES] {
        if (1..PAGES).contains(&to) {
            link(format!("/page/{to}"));
        }
    }
    if number % 50 == 17 {
        link(format!("/gone/{number}"));
        link("/gone/for-good".into());
    }
    page
}
