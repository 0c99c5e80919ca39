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
    /// The provider refused the sender itself: messages are held until somebody has looked.
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

/// What is known of a connection that is looked at from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Its state.
    pub connection: Connection,
    /// How often it was opened after being suspect, without having been found open since.
    pub revivals: u16,
}

impl Watch {
    /// Open connections are looked at less often by this factor: sends show soonest that one is not.
    const OPEN_FACTOR: u32 = 4;
    /// The longest wait for the look after a connection that was suspect was opened.
    const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

    /// What is known after the provider said that it is `found`.
    ///
    /// A closed connection counts only when it is found twice, because a server that has just started calls all of its
    /// connections closed; between the two, messages are held. A suspect one is as good as the provider says once it is
    /// open, but nothing else is said by that: it held everything before.
    #[must_use]
    pub fn found(self, found: Connection) -> Self {
        match (self.connection, found) {
            (Connection::Suspect, Connection::Open) => {
                Self { connection: found, revivals: self.revivals.saturating_add(1) }
            }
            (Connection::Suspect, _) => self,
            (Connection::Open, Connection::Open) => Self { connection: found, revivals: 0 },
            (Connection::Open, Connection::Close) => Self { connection: Connection::Connecting, ..self },
            (Connection::Open | Connection::Connecting | Connection::Close, _) => {
                Self { connection: found, ..self }
            }
        }
    }

    /// How long until the next look. Where the provider calls a connection open that sends find closed, each revival
    /// doubles it, so that both do not alternate for ever.
    #[must_use]
    pub fn pause(self, interval: Duration) -> Duration {
        match self.connection {
            Connection::Open => {
                let doubled = 1_u32.checked_shl(u32::from(self.revivals).min(20)).unwrap_or(u32::MAX);
                let longest = Self::LONGEST_PAUSE.max(interval);
                interval.saturating_mul(Self::OPEN_FACTOR).saturating_mul(doubled).min(longest)
            }
            Connection::Connecting | Connection::Close | Connection::Suspect => interval,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Connection::{self, Close, Connecting, Open, Suspect};
    use super::Watch;

    fn after(connection: Connection, found: Connection) -> Connection {
        Watch { connection, revivals: 0 }.found(found).connection
    }

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
            (Suspect, Open, Open),
        ] {
            assert_eq!(after(known, found), now, "{known:?} {found:?}");
        }
    }

    #[test]
    fn closed_counts_when_it_is_found_twice() {
        let once = after(Open, Close);
        assert_eq!((once, after(once, Close)), (Connecting, Close));
    }

    #[test]
    fn what_is_suspect_stays_so_until_it_is_found_open() {
        assert_eq!(after(Suspect, Close), Suspect);
        assert_eq!(after(Suspect, Connecting), Suspect);
    }

    #[test]
    fn each_revival_doubles_the_wait_until_it_is_found_open() {
        let interval = Duration::from_secs(15);
        let mut watch = Watch { connection: Open, revivals: 0 };
        let mut pauses = Vec::new();
        for _ in 0..8 {
            pauses.push(watch.pause(interval).as_secs());
            watch = Watch { connection: Suspect, ..watch };
            assert_eq!(watch.pause(interval), interval);
            watch = watch.found(Open);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(watch.found(Open), Watch { connection: Open, revivals: 0 });
        let long = Watch { connection: Open, revivals: u16::MAX };
        assert_eq!(long.pause(Duration::from_secs(86_400)), Duration::from_secs(86_400));
    }
}
