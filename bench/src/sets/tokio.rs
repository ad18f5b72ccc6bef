//! tokio's `JoinSet` and tokio-util's `TaskTracker`, on a runtime of one thread.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};
use tokio_util::task::TaskTracker;

use super::{Outcomes, Set, Who};
use crate::tasks::Outcome;

/// Runs a future in tokio's runtime, which is made once in each thread, with neither clock nor
/// sockets: looking for these would be work that nobody else does.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: Runtime = Builder::new_current_thread().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

pub(crate) struct Joined(JoinSet<Outcome>);

impl Who for Joined {
    const NAME: &'static str = "JoinSet";

    fn block_on<F: Future>(future: F) -> F::Output {
        block_on(future)
    }
}

impl Set for Joined {
    fn new() -> Self {
        Self(JoinSet::new())
    }

    fn add(&mut self, task: impl Future<Output = Outcome> + Send + 'static) {
        self.0.spawn(task);
    }

    async fn turn(&mut self) {
        yield_now().await;
        while self.0.try_join_next().is_some() {}
    }

    async fn finish(mut self) -> Outcome {
        while let Some(outcome) = self.0.join_next().await {
            if outcome.unwrap().is_err() {
                // Dropping the set would only tell the tasks to stop.
                self.clear().await;
                return Err(());
            }
        }
        Ok(())
    }

    async fn clear(mut self) {
        self.0.shutdown().await;
    }
}

impl Outcomes for Joined {
    async fn next(&mut self) -> Option<Outcome> {
        self.0.join_next().await.map(Result::unwrap)
    }
}

/// It counts tasks, and drops their outcomes.
pub(crate) struct Tracked(TaskTracker);

impl Who for Tracked {
    const NAME: &'static str = "TaskTracker";

    fn block_on<F: Future>(future: F) -> F::Output {
        block_on(future)
    }
}

impl Set for Tracked {
    fn new() -> Self {
        Self(TaskTracker::new())
    }

    fn add(&mut self, task: impl Future<Output = Outcome> + Send + 'static) {
        self.0.spawn(task);
    }

    async fn turn(&mut self) {
        yield_now().await;
    }

    async fn finish(self) -> Outcome {
        self.0.close();
        self.0.wait().await;
        Ok(())
    }
}
