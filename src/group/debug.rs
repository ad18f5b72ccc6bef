//! What `Debug` says of a group.

use alloc::vec::Vec;
use core::fmt;

use crate::group::Group;
use crate::group::flavor::Flavor;
use crate::group::shared::Gate;

/// Lists the unfinished tasks: index, name, and whether it is running or queued. Then the limit, if
/// there is one, how many [`KeepOpen`](crate::KeepOpen)s there are, and whether it has failed or is closed.
impl<T, E, K: Flavor> fmt::Debug for Group<'_, T, E, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It never waits: if another thread is at the same group just now, a part is left out.
        let (hub, running, queued) = self
            .driver
            .try_with(|driver| {
                let (running, queued) = driver.indices();
                (driver.hub().cloned(), running, queued)
            })
            .unwrap_or_default();
        let names = hub
            .as_ref()
            .map(|hub| hub.shared.names())
            .unwrap_or_default();
        let running = running.into_iter().map(|index| (index, "running"));
        let queued = queued.into_iter().map(|index| (index, "queued"));
        let mut tasks: Vec<_> = running.chain(queued).collect();
        tasks.sort_unstable();
        let tasks = tasks.into_iter().map(|(index, state)| Listed {
            index,
            name: names.get(&index).map(|name| &**name),
            state,
        });
        let mut group = f.debug_struct("Group");
        group.field("tasks", &tasks.collect::<Vec<_>>());
        if let Some(hub) = hub {
            let (limit, open) = (hub.shared.limit(), hub.shared.open());
            if limit < usize::MAX {
                group.field("limit", &limit);
            }
            if open > 0 {
                group.field("kept_open", &open);
            }
            match hub.shared.gate() {
                Gate::Failed => _ = group.field("failed", &true),
                Gate::Closed => _ = group.field("closed", &true),
                Gate::Open | Gate::Paused => {}
            }
        }
        group.finish_non_exhaustive()
    }
}

/// A task in the list that `Debug` prints.
struct Listed<'a> {
    index: usize,
    name: Option<&'a str>,
    state: &'static str,
}

impl fmt::Debug for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.index)?;
        if let Some(name) = self.name {
            write!(f, " {name:?}")?;
        }
        write!(f, ": {}", self.state)
    }
}
