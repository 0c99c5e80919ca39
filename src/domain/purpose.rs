//! Why a message is sent, and the lane that follows from it.

/// The allowed values of `message_purpose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Invoices, orders, appointments, and expected customer updates.
    Transactional,
    /// ERP and CRM notifications, system alerts, workflow events.
    Operational,
    /// Support ticket updates and service conversations.
    Support,
    /// Internal approvals, tasks, stock, and team alerts.
    InternalTeam,
    /// One-time codes and verification messages, with strict limits.
    Authentication,
}

/// Which queue and which share of the pacing rate a message uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Authentication: does not wait behind anything else.
    Priority,
    /// Everything else.
    Standard,
}

impl Purpose {
    /// Every allowed purpose, in the order the documents list them.
    pub const ALL: [Self; 5] =
        [Self::Transactional, Self::Operational, Self::Support, Self::InternalTeam, Self::Authentication];

    /// The purpose of that name; `None` for the known-refused ones and for every other text.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == name)
    }

    /// The name on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transactional => "transactional",
            Self::Operational => "operational",
            Self::Support => "support",
            Self::InternalTeam => "internal_team",
            Self::Authentication => "authentication",
        }
    }

    /// The lane messages of this purpose travel in.
    #[must_use]
    pub fn lane(self) -> Lane {
        match self {
            Self::Authentication => Lane::Priority,
            Self::Transactional | Self::Operational | Self::Support | Self::InternalTeam => Lane::Standard,
        }
    }

    /// How long a message is worth delivering, in seconds: ten minutes for a code, a day for the rest.
    #[must_use]
    pub fn validity_seconds(self) -> u32 {
        match self {
            Self::Authentication => 600,
            Self::Transactional | Self::Operational | Self::Support | Self::InternalTeam => 86_400,
        }
    }
}

impl Lane {
    /// Both lanes.
    pub const ALL: [Self; 2] = [Self::Priority, Self::Standard];

    /// The name in queues, in the database and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Priority => "priority",
            Self::Standard => "standard",
        }
    }

    /// The lane of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == name)
    }

    /// The longest paced backlog, in seconds, that is still accepted at the door.
    #[must_use]
    pub fn backlog_limit_seconds(self) -> u32 {
        match self {
            Self::Priority => 30,
            Self::Standard => 300,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lane, Purpose};

    #[test]
    fn only_the_five_allowed_names_are_purposes() {
        for purpose in Purpose::ALL {
            assert_eq!(Purpose::parse(purpose.as_str()), Some(purpose));
        }
        for other in
            ["marketing", "promotion", "cold_outreach", "bulk_campaign", "political", "", "Support", "x"]
        {
            assert_eq!(Purpose::parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_codes_travel_in_the_priority_lane() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.lane() == Lane::Priority, purpose == Purpose::Authentication);
        }
    }
}
