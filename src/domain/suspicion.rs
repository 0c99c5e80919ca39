//! When a sender is no longer trusted to send, and when it is tried again, by one message.
//!
//! A sender becomes suspect for one of two causes. *Refusal*: its provider refused the sender itself. *Silence*: it calls
//! itself connected, but nothing that is sent through it comes to anything. Either way its messages are held, and one at a
//! time is let through, each time after a longer pause, until one shows that it can send again.

use std::time::Duration;

use super::instance::Provider;
use super::outcome::{Class, Failure, Outcome};

/// Why a sender is suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The provider refused it.
    Refusal,
    /// Nothing that was sent was acknowledged any more.
    Silence,
}

impl Cause {
    /// The name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refusal => "refusal",
            Self::Silence => "silence",
        }
    }

    /// The cause of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Refusal, Self::Silence].into_iter().find(|cause| cause.as_str() == name)
    }
}

/// The longest pause between two tries, unless the first one is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// A sender that is suspect again within this time after it went on has not healed: it goes on where it was.
const RELAPSE: Duration = Duration::from_secs(10 * 60);

/// The pause after a try in vain: twice as long as the one before it, at most an hour.
#[must_use]
pub fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(LONGEST_PAUSE).max(pause)
}

/// The suspicion before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its last pause.
    pub pause: Duration,
    /// How long ago the sender went on.
    pub recovered: Duration,
}

/// The pause before the first try.
#[must_use]
pub fn first_pause(usual: Duration, earlier: Option<Earlier>) -> Duration {
    match earlier {
        Some(earlier) if earlier.recovered < RELAPSE => longer(earlier.pause).max(usual),
        _ => usual,
    }
}

/// The pause before the first try of a sender that was refused; `None`: it waits for an operator.
///
/// An Evolution server can be asked whether the sender is connected, and is, before a message is risked. Meta's refusals
/// (a revoked token, a locked account) do not end by themselves, and trying may prolong them: only those for which a time is
/// known are tried after it.
#[must_use]
pub fn heals_after(provider: Provider, failure: &Failure, usual: Duration) -> Option<Duration> {
    match provider {
        Provider::Evolution => Some(usual),
        Provider::Meta | Provider::Sandbox => failure.retry_after,
    }
}

/// What a try has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The sender can send.
    Recovered,
    /// It cannot, as far as is known.
    Failed,
    /// Only an acknowledgement will tell.
    Open,
}

/// What the outcome of the one message that was let through shows of its sender. A sender that was refused can send once
/// the provider judges the message and no more the sender; one that was silent took everything before, so that it takes this
/// one as well shows nothing.
#[must_use]
pub fn verdict(cause: Cause, outcome: &Outcome) -> Verdict {
    match (cause, outcome) {
        (Cause::Refusal, Outcome::Accepted { .. }) => Verdict::Recovered,
        (Cause::Silence, Outcome::Accepted { .. } | Outcome::Unknown { .. }) => Verdict::Open,
        (Cause::Refusal, Outcome::Unknown { .. }) => Verdict::Failed,
        (cause, Outcome::Failed(failure)) => match (cause, failure.class) {
            (
                Cause::Refusal,
                Class::Recipient | Class::Window | Class::ThrottlePair | Class::ThrottleSender,
            ) => Verdict::Recovered,
            // A request that is not valid may have been refused before anybody looked at who sends.
            _ => Verdict::Failed,
        },
    }
}

/// The shortest pause after a message that was let through in vain; `None`: an operator has to look first.
#[must_use]
pub fn tried_again_after(provider: Provider, outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Failed(failure) if failure.class == Class::Instance => {
            heals_after(provider, failure, Duration::ZERO)
        }
        _ => Some(Duration::ZERO),
    }
}

/// One of the people to whom something was sent since WhatsApp was last heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unacknowledged {
    /// How long ago it was sent.
    pub age: Duration,
    /// Whether WhatsApp said that it did not take it.
    pub rejected: bool,
}

/// To how many people something must have been sent in vain. One person's phone may be switched off, and then no
/// acknowledgement comes, though everything is well; that five in a row are off, and nobody else writes or reads anything
/// meanwhile, is next to impossible.
pub const PEOPLE: usize = 5;

/// What is wrong with a sender that calls itself connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing is acknowledged.
    Unheard,
    /// WhatsApp takes nothing.
    Rejected,
}

impl Trouble {
    /// For operators and customers.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unheard => "connected, but nothing that is sent is acknowledged any more",
            Self::Rejected => "connected, but WhatsApp does not take what is sent",
        }
    }
}

/// Whether a sender that calls itself connected cannot send. `unacknowledged` are the first people to whom it sent since
/// something was heard of WhatsApp through it, each once. Dead is one that sent to [`PEOPLE`] and has not heard anything for
/// `patience` after the last of them, or whose messages to so many WhatsApp did not take.
#[must_use]
pub fn trouble(unacknowledged: &[Unacknowledged], patience: Duration) -> Option<Trouble> {
    let rejected = unacknowledged.iter().filter(|one| one.rejected).count();
    let waited = unacknowledged.iter().filter(|one| one.rejected || one.age >= patience).count();
    match (rejected >= PEOPLE, waited >= PEOPLE) {
        (true, _) => Some(Trouble::Rejected),
        (false, true) => Some(Trouble::Unheard),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        Cause, Earlier, PEOPLE, Trouble, Unacknowledged, Verdict, first_pause, heals_after, longer,
        tried_again_after, trouble, verdict,
    };
    use crate::domain::instance::Provider;
    use crate::domain::outcome::{Class, Failure, Outcome};

    const PATIENCE: Duration = Duration::from_secs(600);

    fn sent(ages: &[u64]) -> Vec<Unacknowledged> {
        ages.iter().map(|&age| Unacknowledged { age: Duration::from_secs(age), rejected: false }).collect()
    }

    fn rejected(count: usize) -> Vec<Unacknowledged> {
        vec![Unacknowledged { age: Duration::ZERO, rejected: true }; count]
    }

    #[test]
    fn few_people_are_never_enough() {
        for count in 0..PEOPLE {
            assert_eq!(
                trouble(&sent(&vec![1_000_000; count]), PATIENCE),
                None,
                "{count} may have their phones off"
            );
            assert_eq!(trouble(&rejected(count), PATIENCE), None, "{count}");
        }
    }

    #[test]
    fn silence_counts_from_the_last_of_five_people_on() {
        for (ages, expected) in [
            (&[600, 600, 600, 600, 600][..], Some(Trouble::Unheard)),
            (&[9_000, 9_000, 9_000, 9_000, 600], Some(Trouble::Unheard)),
            (&[9_000, 9_000, 9_000, 9_000, 599], None),
            (&[9_000, 9_000, 9_000, 9_000, 600, 1, 1], Some(Trouble::Unheard)),
            (&[1, 1, 1, 1, 1], None),
            (&[], None),
        ] {
            assert_eq!(trouble(&sent(ages), PATIENCE), expected, "{ages:?}");
        }
    }

    #[test]
    fn rejections_need_no_patience() {
        assert_eq!(trouble(&rejected(PEOPLE), PATIENCE), Some(Trouble::Rejected));
        let mixed = [sent(&[600, 600]), rejected(3)].concat();
        assert_eq!(trouble(&mixed, PATIENCE), Some(Trouble::Unheard));
        let early = [sent(&[600, 599]), rejected(3)].concat();
        assert_eq!(trouble(&early, PATIENCE), None);
    }

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_an_hour() {
        let seconds = |first| {
            let pauses =
                std::iter::successors(Some(Duration::from_secs(first)), |pause| Some(longer(*pause)));
            pauses.take(9).map(|pause| pause.as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(seconds(30), [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        assert_eq!(seconds(14_400), [14_400; 9], "what is asked for is kept");
        assert_eq!(longer(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn who_relapses_waits_longer_than_before() {
        let (usual, minutes) = (Duration::from_secs(30), |minutes: u64| Duration::from_secs(minutes * 60));
        for (earlier, expected) in [
            (None, 30),
            (Some(Earlier { pause: minutes(8), recovered: minutes(9) }), 960),
            (Some(Earlier { pause: minutes(8), recovered: minutes(10) }), 30),
            (Some(Earlier { pause: Duration::from_secs(1), recovered: minutes(0) }), 30),
        ] {
            assert_eq!(first_pause(usual, earlier).as_secs(), expected, "{earlier:?}");
        }
    }

    #[test]
    fn only_what_can_heal_is_tried() {
        let usual = Duration::from_secs(30);
        let revoked = Failure::new(Class::Instance, "token");
        let restricted = Failure { retry_after: Some(Duration::from_secs(14_400)), ..revoked.clone() };
        for (provider, failure, expected) in [
            (Provider::Evolution, &revoked, Some(30)),
            (Provider::Evolution, &restricted, Some(30)),
            (Provider::Meta, &revoked, None),
            (Provider::Meta, &restricted, Some(14_400)),
            (Provider::Sandbox, &revoked, None),
        ] {
            assert_eq!(
                heals_after(provider, failure, usual),
                expected.map(Duration::from_secs),
                "{provider:?}"
            );
            // Tried in vain, and refused again.
            let again = tried_again_after(provider, &Outcome::Failed(failure.clone()));
            assert_eq!(again.is_some(), expected.is_some(), "{provider:?}");
        }
        let unknown = Outcome::Unknown { reason: "no answer".to_owned() };
        assert_eq!(tried_again_after(Provider::Meta, &unknown), Some(Duration::ZERO));
    }

    #[test]
    fn a_verdict_depends_on_the_cause() {
        let accepted = Outcome::Accepted { provider_message_id: "3EB0".to_owned() };
        let unknown = Outcome::Unknown { reason: "no answer".to_owned() };
        assert_eq!(verdict(Cause::Refusal, &accepted), Verdict::Recovered);
        assert_eq!(verdict(Cause::Refusal, &unknown), Verdict::Failed);
        assert_eq!(verdict(Cause::Silence, &accepted), Verdict::Open);
        assert_eq!(verdict(Cause::Silence, &unknown), Verdict::Open);
        for (class, after_refusal) in [
            (Class::Recipient, Verdict::Recovered),
            (Class::Window, Verdict::Recovered),
            (Class::ThrottlePair, Verdict::Recovered),
            (Class::ThrottleSender, Verdict::Recovered),
            (Class::Retry, Verdict::Failed),
            (Class::Permanent, Verdict::Failed),
            (Class::Instance, Verdict::Failed),
        ] {
            let failed = Outcome::Failed(Failure::new(class, "x"));
            assert_eq!(verdict(Cause::Refusal, &failed), after_refusal, "{}", class.as_str());
            assert_eq!(verdict(Cause::Silence, &failed), Verdict::Failed, "{}", class.as_str());
        }
    }
}
