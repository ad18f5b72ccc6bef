//! What a group is driven for, and why that came to an end.

/// What a group is driven for.
#[derive(Clone, Copy)]
pub(crate) struct Aim {
    /// An error is a failure.
    pub(crate) fails: bool,
    /// Values are kept.
    pub(crate) keeps: bool,
    /// An error cancels the context of a graceful group.
    pub(crate) cancels: bool,
    /// The group is closed when it is done.
    pub(crate) closes: bool,
    pub(crate) until: Until,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Until {
    Done,
    Success,
    /// What is polled beside the group is ready.
    Beside,
    Room,
    Failure,
}

impl Aim {
    const DONE: Aim = Aim {
        fails: true,
        keeps: false,
        cancels: true,
        closes: false,
        until: Until::Done,
    };
    pub(crate) const AWAIT: Aim = Aim::DONE;
    pub(crate) const COLLECT: Aim = Aim {
        keeps: true,
        closes: true,
        ..Aim::DONE
    };
    /// For `wait_all` and `settle`.
    pub(crate) const ALL: Aim = Aim {
        fails: false,
        ..Aim::COLLECT
    };
    pub(crate) const FIRST_OK: Aim = Aim {
        cancels: false,
        until: Until::Success,
        ..Aim::ALL
    };
    pub(crate) const READY: Aim = Aim {
        keeps: true,
        until: Until::Room,
        ..Aim::DONE
    };
    pub(crate) const DRIVE: Aim = Aim {
        until: Until::Failure,
        ..Aim::READY
    };
    /// While the body of a scope is running.
    pub(crate) const SCOPE: Aim = Aim {
        until: Until::Beside,
        ..Aim::DONE
    };
    /// When it has ended.
    pub(crate) const END_OF_SCOPE: Aim = Aim {
        closes: true,
        ..Aim::DONE
    };
}

/// Why driving a group came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It has failed.
    Failed,
    /// Nothing is running or queued.
    Done,
    /// There is room for a task.
    Room,
    /// A task succeeded; its value is kept.
    Success,
    /// What is polled beside the group is ready.
    Beside,
}
