//! Instances: the senders an account has.

/// Which wire an instance speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Provider {
    /// Meta's Cloud API.
    Meta,
    /// Evolution API v2.
    Evolution,
    /// The sandbox server, which speaks Meta's wire.
    Sandbox,
}

/// What becomes of a message of which nobody learned in time whether it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnUnknown {
    /// It fails: nobody is written to twice.
    Fail,
    /// It is sent again, while its validity and its budget of attempts last: nobody is left out, but somebody may be
    /// written to twice.
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
