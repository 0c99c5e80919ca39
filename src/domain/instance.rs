//! Instances: the senders an account has.

use std::time::Duration;

/// Which wire an instance speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Provider {
    /// Meta's Cloud API.
    Meta,
    /// Evolution API v2.
    Evolution,
    /// The sandbox server, by Meta's wire.
    Sandbox,
}

/// What becomes of a message of which nobody learned in time whether it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnUnknown {
    /// It fails: nobody is written to twice.
    Fail,
    /// It is sent again, once, if its validity lasts: fewer are left out, but somebody may be written to twice.
    Resend,
}

impl OnUnknown {
    /// The name in the CLI and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Resend => "resend",
        }
    }
}

/// What is done with free text to somebody who is known to have written nothing for a day, where the provider takes only
/// templates then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OutsideWindow {
    /// It fails at once, without a call.
    Fail,
    /// The provider is asked all the same.
    Try,
}

impl OutsideWindow {
    /// The name in the CLI and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Try => "try",
        }
    }
}

/// Whether an instance can reach its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Connection {
    /// It sends.
    Open,
    /// It will soon: messages are held.
    Connecting,
    /// It cannot: sends are refused at once.
    Close,
    /// It may be unable to send, whatever it calls itself: messages are held until one of them has shown otherwise, or an
    /// operator says so.
    Suspect,
}

impl Provider {
    /// The name in the CLI and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Evolution => "evolution",
            Self::Sandbox => "sandbox",
        }
    }

    /// Whether it knows templates, and takes nothing else outside its 24-hour window.
    #[must_use]
    pub fn has_templates(self) -> bool {
        match self {
            Self::Meta | Self::Sandbox => true,
            Self::Evolution => false,
        }
    }

    /// What a new instance does outside the window. People of the sandbox write only where a test wants them to.
    #[must_use]
    pub fn outside_window(self) -> OutsideWindow {
        match self {
            Self::Meta => OutsideWindow::Fail,
            Self::Sandbox | Self::Evolution => OutsideWindow::Try,
        }
    }

    /// The provider of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Meta, Self::Evolution, Self::Sandbox].into_iter().find(|provider| provider.as_str() == name)
    }
}

impl Connection {
    /// The name in the CLI and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Connecting => "connecting",
            Self::Close => "close",
            Self::Suspect => "suspect",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Open, Self::Connecting, Self::Close, Self::Suspect]
            .into_iter()
            .find(|connection| connection.as_str() == name)
    }
}

impl Connection {
    /// Open connections are looked at less often by this factor: sends show soonest that one is not.
    const OPEN_FACTOR: u32 = 4;

    /// What is known after the provider, asked, said that it is `found`.
    ///
    /// A closed connection counts only when it is found twice, because a server that has just started calls all of its
    /// connections closed; between the two, messages are held. A suspect one stays so: it may be called open, and was when
    /// it could not send. One message will show.
    #[must_use]
    pub fn found(self, found: Self) -> Self {
        match (self, found) {
            (Self::Suspect, _) => self,
            (Self::Open, Self::Close) => Self::Connecting,
            (Self::Open | Self::Connecting | Self::Close, _) => found,
        }
    }

    /// How long until it is looked at again.
    #[must_use]
    pub fn pause(self, interval: Duration) -> Duration {
        match self {
            Self::Open => interval.saturating_mul(Self::OPEN_FACTOR),
            Self::Connecting | Self::Close | Self::Suspect => interval,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Connection::{Close, Connecting, Open, Suspect};

    #[test]
    fn a_connection_follows_what_is_found() {
        for (known, found, now) in [
            (Open, Open, Open),
            (Open, Connecting, Connecting),
            (Connecting, Open, Open),
            (Connecting, Connecting, Connecting),
            (Close, Open, Open),
            (Close, Connecting, Connecting),
            (Close, Close, Close),
        ] {
            assert_eq!(known.found(found), now, "{known:?} {found:?}");
        }
    }

    #[test]
    fn closed_counts_when_it_is_found_twice() {
        let once = Open.found(Close);
        assert_eq!((once, once.found(Close)), (Connecting, Close));
    }

    #[test]
    fn what_is_suspect_stays_so_whatever_is_found() {
        for found in [Open, Connecting, Close, Suspect] {
            assert_eq!(Suspect.found(found), Suspect);
        }
    }
}
