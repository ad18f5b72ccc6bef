//! async-executor, with a vector of the tasks' handles.

use std::future::Future;

use async_executor::Task;

use super::{Set, Who};
use crate::tasks::Outcome;

/// The error of a task is seen when those before it have ended.
pub(crate) struct Executor {
    // Dropped first, which cancels the tasks while there is somebody to drop them.
    tasks: Vec<Task<Outcome>>,
    executor: async_executor::Executor<'static>,
}

impl Who for Executor {
    const NAME: &'static str = "async-executor";
}

impl Set for Executor {
    fn new() -> Self {
        Self {
            tasks: Vec::new(),
            executor: async_executor::Executor::new(),
        }
    }

    fn add(&mut self, task: impl Future<Output = Outcome> + Send + 'static) {
        self.tasks.push(self.executor.spawn(task));
    }

    async fn turn(&mut self) {
        while self.executor.try_tick() {}
        while self.tasks.last().is_some_and(Task::is_finished) {
            self.tasks.pop();
        }
    }

    async fn finish(self) -> Outcome {
        let join = async {
            for task in self.tasks {
                task.await?;
            }
            Ok(())
        };
        self.executor.run(join).await
    }
}
