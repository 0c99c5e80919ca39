//! Reads the arguments of operators' commands; what is wrong with one is said together with what is allowed.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use reqwest::Url;

use crate::domain::opt_out;
use crate::domain::phone::PhoneNumber;
use crate::domain::send_request::{LONGEST_INSTANCE_ID, LONGEST_MESSAGE};
use crate::store::instances::GUARD;

/// The longest name, reason or the like.
const LONGEST_NAME: usize = 100;
/// The longest note on a review.
const LONGEST_NOTE: usize = 500;
/// The longest address.
const LONGEST_URL: usize = 2_000;
/// The longest duration: a century.
const LONGEST_DURATION: SignedDuration = SignedDuration::from_hours(100 * 366 * 24);

/// A moment, as operators write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// This one.
    At(Timestamp),
    /// That long from now on.
    In(SignedDuration),
}

impl Moment {
    pub fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::In(duration) => now.checked_add(duration).unwrap_or(Timestamp::MAX),
        }
    }
}

pub fn moment(text: &str) -> Result<Moment, String> {
    // Before 1970 there is nothing to speak of, and far before it nothing that the database can hold.
    let at = text.parse().ok().filter(|at| *at > Timestamp::UNIX_EPOCH).map(Moment::At);
    at.or_else(|| duration(text).map(Moment::In)).ok_or_else(|| {
        "it must be a time like 2027-01-31T12:00:00Z, or a duration from now on like 45min, 12h or 30d"
            .to_owned()
    })
}

fn duration(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let seconds = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.parse::<i64>().ok()?.checked_mul(seconds)?;
    let duration = SignedDuration::from_secs(seconds);
    (duration.is_positive() && duration <= LONGEST_DURATION).then_some(duration)
}

pub fn account_id(text: &str) -> Result<i64, String> {
    text.parse()
        .ok()
        .filter(|id| *id > 0)
        .ok_or_else(|| "an account id is a whole number from 1 on, as `account create` gives it".to_owned())
}

pub fn log_id(text: &str) -> Result<i64, String> {
    let id = text.parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| "it must be a whole number from 1 on, the log_id of an answer".to_owned())
}

pub fn name(text: &str) -> Result<String, String> {
    short_text(text, LONGEST_NAME)
}

pub fn note(text: &str) -> Result<String, String> {
    short_text(text, LONGEST_NOTE)
}

/// A word to opt out with; of messages that are longer none is compared with it.
pub fn opt_out_word(text: &str) -> Result<String, String> {
    let word = name(text)?;
    if opt_out::folded(&word).is_some() {
        Ok(word)
    } else {
        Err("it must have a letter or a digit, and at most 200 bytes".to_owned())
    }
}

/// A message's text, trimmed as senders' texts are.
pub fn message(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = (1..=LONGEST_MESSAGE).contains(&text.encode_utf16().count()) && !text.contains('\0');
    if fits { Ok(text.to_owned()) } else { Err(format!("it must have 1 to {LONGEST_MESSAGE} UTF-16 units")) }
}

/// The name of who did something; the guard's own is nobody else's.
pub fn person(text: &str) -> Result<String, String> {
    if text == GUARD {
        return Err(format!("`{GUARD}` is what the gateway calls itself"));
    }
    name(text)
}

/// Requests are trimmed before the instance is looked for, so an id cannot begin or end with a space.
pub fn instance_id(text: &str) -> Result<String, String> {
    short_text(text, LONGEST_INSTANCE_ID)
}

fn short_text(text: &str, longest: usize) -> Result<String, String> {
    let fits = (1..=longest).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("it must have 1 to {longest} characters, no control characters, no spaces at its ends"))
    }
}

/// The zone's name in its usual spelling.
pub fn timezone(text: &str) -> Result<String, String> {
    let zone = TimeZone::get(text).ok();
    zone.as_ref().and_then(TimeZone::iana_name).map(str::to_owned).ok_or_else(|| {
        "it must be a time zone of the IANA database, for example Asia/Riyadh or UTC".to_owned()
    })
}

pub fn phone(text: &str) -> Result<PhoneNumber, String> {
    PhoneNumber::parse(text)
        .ok_or_else(|| "it must be a number with country code, for example +966500000001".to_owned())
}

pub fn phone_number_id(text: &str) -> Result<String, String> {
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits {
        Ok(text.to_owned())
    } else {
        Err("it must be the number's id at Meta: 1 to 32 digits, not the phone number itself".to_owned())
    }
}

/// The name of an instance on its server, one segment of addresses there.
pub fn provider_instance(text: &str) -> Result<String, String> {
    // As segments of an address these two would be taken for directions.
    if [".", ".."].contains(&text) {
        return Err("it must be a name".to_owned());
    }
    name(text)
}

pub fn variable(text: &str) -> Result<String, String> {
    let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.starts_with(|c: char| !c.is_ascii_digit());
    if fits {
        Ok(text.to_owned())
    } else {
        // Not the text: it may be a token that was given in the place of its variable's name.
        Err("it must be the NAME of an environment variable, for example META_TOKEN".to_owned())
    }
}

/// An address that can be called and shown: no user name or password in it.
pub fn url(text: &str) -> Result<Url, String> {
    let expected = || "it must be an address like https://example.com/path".to_owned();
    let url = Url::parse(text).map_err(|_| expected())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || text.len() > LONGEST_URL {
        return Err(expected());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must hold no user name or password, because addresses are shown in lists".to_owned());
    }
    if url.fragment().is_some() {
        return Err("it must not have a part after #, because that is never sent".to_owned());
    }
    Ok(url)
}

/// A provider's address; requests' paths are appended to it.
pub fn base_url(text: &str) -> Result<Url, String> {
    let url = url(text)?;
    if url.query().is_some() {
        return Err("it must not have a part after ?, because paths are appended to it".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use crate::domain::opt_out;

    proptest! {
        #[test]
        fn no_argument_makes_it_panic_and_what_is_taken_can_be_stored(
            text in r"\PC{0,120}|.{0,20}|https?://[!-~]{0,40}|[0-9]{1,22}(s|min|h|d)|[+0-9]{1,20}"
        ) {
            let plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control) && text.trim() == text;
            for taken in [super::name(&text), super::note(&text), super::person(&text), instance_id(&text)] {
                prop_assert!(taken.as_deref().is_ok_and(plain) || taken.is_err());
            }
            if let Ok(message) = super::message(&text) {
                prop_assert!(!message.contains('\0') && !message.is_empty());
            }
            if let Ok(word) = super::opt_out_word(&text) {
                prop_assert!(opt_out::folded(&word).is_some_and(|folded| !folded.is_empty()));
            }
            for taken in [url(&text), base_url(&text)].into_iter().flatten() {
                prop_assert!(["http", "https"].contains(&taken.scheme()) && taken.host_str().is_some());
                prop_assert!(taken.username().is_empty() && taken.password().is_none());
                prop_assert!(taken.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{}", taken);
                prop_assert_eq!(url(taken.as_str()), Ok(taken.clone()));
            }
            if let Ok(found) = moment(&text) {
                prop_assert!(found.after(Timestamp::UNIX_EPOCH) > Timestamp::UNIX_EPOCH);
            }
            for taken in [account_id(&text), super::log_id(&text)].into_iter().flatten() {
                prop_assert!(taken > 0);
            }
            if let Ok(zone) = timezone(&text) {
                prop_assert_eq!(timezone(&zone), Ok(zone));
            }
            if let Ok(id) = phone_number_id(&text) {
                prop_assert!(id.bytes().all(|byte| byte.is_ascii_digit()));
            }
            let _ = (variable(&text), super::provider_instance(&text), super::phone(&text));
        }
    }

    use super::{
        Moment, account_id, base_url, instance_id, moment, phone_number_id, timezone, url, variable,
    };

    #[test]
    fn moments_are_times_or_durations_from_now_on() {
        let now: Timestamp = "2026-08-01T10:00:00Z".parse().unwrap();
        for (text, seconds) in [("1s", 1), ("45min", 2_700), ("12h", 43_200), ("30d", 2_592_000)] {
            assert_eq!(
                moment(text).unwrap().after(now).duration_since(now),
                SignedDuration::from_secs(seconds),
                "{text}"
            );
        }
        for text in ["2027-01-31T12:00:00Z", "2027-01-31T15:00:00+03:00"] {
            assert_eq!(moment(text).unwrap().after(now).to_string(), "2027-01-31T12:00:00Z", "{text}");
        }
        let latest = Moment::In(SignedDuration::MAX);
        assert_eq!(latest.after(now), Timestamp::MAX);
        for text in [
            "",
            "d",
            "30",
            "0d",
            "-3d",
            "1w",
            "1.5h",
            "99999999d",
            "99999999999999999999d",
            "tomorrow",
            "2027-01-31",
            "2027-01-31T12:00:00",
            "-004713-01-01T00:00:00Z",
        ] {
            assert!(moment(text).unwrap_err().contains("30d"), "{text}");
        }
    }

    #[test]
    fn instance_ids_are_short_texts_of_any_script() {
        for id in ["demo-shop", "1", "متجر الرياض", &"x".repeat(100)] {
            assert_eq!(instance_id(id).as_deref(), Ok(id));
        }
        for id in ["", " ", " a", "a\n", "a\u{7}b", "a\u{0}", &"x".repeat(101)] {
            assert!(instance_id(id).unwrap_err().contains("1 to 100"), "{id:?}");
        }
    }

    #[test]
    fn only_zones_of_the_iana_database_are_time_zones() {
        assert_eq!(timezone("asia/riyadh").as_deref(), Ok("Asia/Riyadh"));
        assert_eq!(timezone("UTC").as_deref(), Ok("UTC"));
        for text in ["", "Riyadh", "+03:00", "Etc/Unknown", "../../etc/passwd"] {
            assert!(timezone(text).unwrap_err().contains("Asia/Riyadh"), "{text}");
        }
    }

    #[test]
    fn addresses_have_a_scheme_a_host_and_nothing_secret() {
        for text in ["https://example.com", "http://127.0.0.1:9000/hook?a=b", "https://[::1]/x"] {
            assert!(url(text).is_ok(), "{text}");
        }
        for text in ["", "example.com", "ftp://example.com", "https://", "file:///etc/passwd", "mailto:a@b.c"]
        {
            assert!(url(text).unwrap_err().contains("https://example.com"), "{text}");
        }
        assert!(url("https://user:pw@example.com").unwrap_err().contains("password"));
        assert!(url("https://example.com/#part").unwrap_err().contains('#'));
        assert!(base_url("https://example.com/?a=b").unwrap_err().contains('?'));
    }

    #[test]
    fn numbers_and_names_are_checked() {
        assert_eq!(account_id("7"), Ok(7));
        for text in ["", "0", "-1", "x", "9223372036854775808"] {
            assert!(account_id(text).is_err(), "{text}");
        }
        assert!(phone_number_id("106540352242922").is_ok());
        for text in ["", "+966500000001", "12a", "١٢", &"1".repeat(33)] {
            assert!(phone_number_id(text).is_err(), "{text}");
        }
        assert!(variable("META_TOKEN").is_ok());
        for text in ["", "1A", "EAAG-secret", "A=B"] {
            let error = variable(text).unwrap_err();
            assert!(error.contains("NAME") && (text.is_empty() || !error.contains(text)), "{text}");
        }
    }
}
