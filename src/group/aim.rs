//! What a group is driven for, and why that came to an end.

/// What a group is driven for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// `.await`, perhaps through a reference.
    Await,
    Collect,
    /// `wait_all` and `settle`.
    All,
    FirstOk,
    /// `next` and `results`.
    Next,
    Ready,
    Drive,
    /// The end of a scope.
    Scope,
}

impl Aim {
    /// Whether an error is a failure, unless the group keeps going.
    pub(crate) fn fails(self) -> bool {
        !matches!(self, Aim::All | Aim::FirstOk | Aim::Next)
    }

    /// Whether values are kept, and every error.
    pub(crate) fn keeps_outcomes(self) -> bool {
        !matches!(self, Aim::Await | Aim::Scope)
    }

    /// Whether an error cancels the context of a graceful group.
    pub(crate) fn cancels(self) -> bool {
        !matches!(self, Aim::FirstOk | Aim::Next)
    }

    /// Whether the group is consumed, so that it is closed when it is done.
    pub(crate) fn closes(self) -> bool {
        matches!(self, Aim::Collect | Aim::All | Aim::FirstOk | Aim::Scope)
    }

    pub(crate) fn ends_when_empty(self) -> bool {
        !self.leaves_at_failure()
    }

    /// Whether a value changes nothing.
    pub(crate) fn goes_on(self) -> bool {
        !matches!(self, Aim::FirstOk | Aim::Next)
    }

    /// Whether nothing is of interest before all tasks have ended, or one has failed.
    pub(crate) fn runs_on(self) -> bool {
        self.goes_on() && self.ends_when_empty()
    }

    /// Whether a graceful group that has failed is left to itself, and not driven to its end.
    pub(crate) fn leaves_at_failure(self) -> bool {
        matches!(self, Aim::Ready | Aim::Drive)
    }
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
    /// There is an outcome.
    Outcome,
    /// A task succeeded; its value is kept.
    Success,
    /// What is polled beside the group is ready.
    Beside,
}
