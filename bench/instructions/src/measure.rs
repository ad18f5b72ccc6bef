//! Runs this program under valgrind, once for less work and once for more: the difference is
//! the work, without start-up.

use std::env::{self, current_exe};
use std::error::Error;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use crate::rows::{Column, ROWS};
use crate::table::{Cell, Measured};

/// How many run at a time.
const PROCESSES: usize = 2;

struct Job {
    row: usize,
    column: usize,
    figure: usize,
}

/// Counts the columns of these rows that somebody `wants`.
pub(crate) fn rows(
    rows: &[usize],
    wants: impl Fn(Column) -> bool,
) -> Result<Vec<Measured>, Box<dyn Error>> {
    find_valgrind()?;
    let jobs: Vec<Job> = rows
        .iter()
        .flat_map(|&row| {
            let columns = ROWS[row].columns.iter().enumerate();
            let columns = columns.filter(|(_, column)| wants(column.0));
            columns.flat_map(move |(column, _)| {
                (0..ROWS[row].parameters.len()).map(move |figure| Job {
                    row,
                    column,
                    figure,
                })
            })
        })
        .collect();
    let counts = counts(&jobs)?;

    let count = |row, column, figure| {
        let same = |job: &Job| (job.row, job.column, job.figure) == (row, column, figure);
        counts[jobs.iter().position(same).expect("every job was done")]
    };
    let measured = rows.iter().map(|&index| {
        let row = &ROWS[index];
        let columns = row.columns.iter().enumerate();
        let columns = columns.filter(|(_, column)| wants(column.0));
        let cells = columns.map(|(column, &(who, _))| {
            let figures = (0..row.parameters.len()).map(|figure| {
                let base = if row.on_top && figure > 0 {
                    count(index, column, 0)
                } else {
                    0.0
                };
                (count(index, column, figure) - base).round() as u64
            });
            Cell {
                who,
                figures: figures.collect(),
            }
        });
        Measured {
            row,
            cells: cells.collect(),
        }
    });
    Ok(measured.collect())
}

fn find_valgrind() -> Result<(), Box<dyn Error>> {
    match Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
    {
        Ok(status) if status.success() => Ok(()),
        _ => Err(
            "valgrind is needed, and cannot be run: install it (apt-get install valgrind)".into(),
        ),
    }
}

/// Instructions for a unit of each job's work.
fn counts(jobs: &[Job]) -> Result<Vec<f64>, Box<dyn Error>> {
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(vec![0.0; jobs.len()]);
    let work = || -> Result<(), String> {
        loop {
            let index = next.fetch_add(1, Relaxed);
            let Some(job) = jobs.get(index) else {
                return Ok(());
            };
            let units = ROWS[job.row].units;
            let both = instructions(job, units[0])
                .and_then(|less| Ok((less, instructions(job, units[1])?)));
            // The first error ends the others' work, too.
            let (less, more) = both.inspect_err(|_| next.store(jobs.len(), Relaxed))?;
            counts.lock().unwrap()[index] =
                (more as f64 - less as f64) / (units[1] - units[0]) as f64;
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("it does not panic"))
    })?;
    Ok(counts.into_inner().unwrap())
}

/// What callgrind counts from the start of a process to its end.
fn instructions(job: &Job, units: usize) -> Result<u64, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(current_exe().map_err(|error| error.to_string())?)
        .arg("--work")
        .args([job.row, job.column, job.figure, units].map(|number| number.to_string()))
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    match collected.and_then(|(_, number)| number.trim().parse().ok()) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(format!("{:?} under valgrind: {said}", ROWS[job.row].name)),
    }
}

/// What was counted, and what compiled it.
pub(crate) fn versions() -> Result<String, Box<dyn Error>> {
    let cargo = env::var("CARGO").unwrap_or("cargo".into());
    let tree = Command::new(cargo)
        .args("tree -p errgroup-instructions --depth 1 --prefix none".split(' '))
        .output()?;
    let rustc = Command::new("rustc").arg("--version").output()?;

    let lines = [rustc.stdout, tree.stdout].concat();
    let lines = String::from_utf8(lines)?;
    // "rustc 1.95.0 (..)", "futures v0.3.34"; those with a path are ours.
    let versions = lines
        .lines()
        .filter(|line| line.starts_with("rustc ") || !line.contains('('));
    let versions = versions.filter(|line| !line.starts_with("lexopt "));
    let versions = versions.map(|line| line.split(" (").next().unwrap_or(line).replace(" v", " "));
    Ok(versions.chain([libc()?]).collect::<Vec<_>>().join(", "))
}

/// Whose allocator it is: "ldd (Debian GLIBC 2.36-9) 2.36". It copies memory in another way on a processor
/// that can do more.
fn libc() -> Result<String, Box<dyn Error>> {
    let ldd = Command::new("ldd").arg("--version").output()?;
    let said = String::from_utf8(ldd.stdout)?;
    let version = said
        .lines()
        .next()
        .and_then(|line| line.split(' ').next_back());
    #[cfg(target_arch = "x86_64")]
    let processor = if is_x86_feature_detected!("avx2") {
        "AVX2"
    } else {
        "no AVX2"
    };
    #[cfg(not(target_arch = "x86_64"))]
    let processor = env::consts::ARCH;
    let version = version.unwrap_or("unknown");
    Ok(format!("glibc {version} on {processor}"))
}
