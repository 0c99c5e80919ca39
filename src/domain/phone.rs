//! Phone numbers: parsed once at the edge, never shown whole in a log.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};

/// Digits of a number, with its country code.
const LENGTHS: RangeInclusive<usize> = 7..=15;
/// After so many forms of forms it is no number.
const MOST_FORMS: usize = 4;

/// An E.164 number, held as its digits without the plus.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Reads a number with country code, with or without `+`; spaces and dashes are tolerated.
    /// `None` when a phone-number library would not find it possible.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // The longest E.164 number has 15 digits; the rest of the room is for separators.
        if text.len() > 40 {
            return None;
        }
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '\u{a0}')).collect();
        let digits = digits.strip_prefix('+').unwrap_or(&digits);
        if !LENGTHS.contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // What the library leaves out (a zero dialled within the country) may make one of the old forms of what is left.
        let mut form = possible(&one_spelling(digits))?;
        for _ in 0..MOST_FORMS {
            let next = possible(&one_spelling(&form))?;
            if next == form {
                return Some(Self(form));
            }
            form = next;
        }
        None
    }

    /// The digits, without the plus: for the database and the providers.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }
}

/// The digits in the form of E.164, where the library finds them possible. Without the zeros that it leaves out they may be
/// too few.
fn possible(digits: &str) -> Option<String> {
    let number = PHONE_NUMBER_UTIL.parse(format!("+{digits}"), None).ok()?;
    let formatted = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164);
    let digits = formatted.trim_start_matches('+');
    (PHONE_NUMBER_UTIL.is_possible_number(&number) && LENGTHS.contains(&digits.len()))
        .then(|| digits.to_owned())
}

/// The digits of a number in the one form that it has here. WhatsApp names people in Brazil and Mexico by forms that are not
/// dialled any more (Meta's `wa_id`, Evolution's `remoteJid`): without the 9 before a mobile number, and with a 1 behind the country
/// code. Somebody who writes STOP must be the person that was written to.
#[must_use]
pub fn one_spelling(digits: &str) -> Cow<'_, str> {
    match digits.as_bytes() {
        [b'5', b'2', b'1', rest @ ..] if rest.len() == 10 => Cow::Owned(format!("52{}", &digits[3..])),
        [b'5', b'5', _, _, b'6'..=b'9', rest @ ..] if rest.len() == 7 => {
            Cow::Owned(format!("{}9{}", &digits[..4], &digits[4..]))
        }
        _ => Cow::Borrowed(digits),
    }
}

/// Masked, so that it can be logged: `966…01`.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…{}", &self.0[..3], &self.0[self.0.len() - 2..])
    }
}

#[cfg(test)]
mod tests {
    use super::{PhoneNumber, one_spelling};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_a_number_has_one_form(text in r"\PC{0,50}|[+ \-\u{a0}0-9]{0,24}|\+[1-9][0-9]{6,16}|5[25][0-9]{8,12}") {
            if let Some(number) = PhoneNumber::parse(&text) {
                let digits = number.digits();
                prop_assert!((7..=15).contains(&digits.len()), "{}", digits);
                prop_assert!(digits.bytes().all(|byte| byte.is_ascii_digit()));
                let again = PhoneNumber::parse(digits);
                prop_assert_eq!(again.as_ref(), Some(&number));
                let shown = format!("{number:?}");
                prop_assert!(!shown.contains(digits));
            }
        }
    }

    #[test]
    fn a_person_has_one_number_whatever_form_a_provider_uses() {
        for (form, number) in [
            ("551188887777", "5511988887777"),
            ("5511988887777", "5511988887777"),
            ("551133334444", "551133334444"), // a landline
            ("5215512345678", "525512345678"),
            ("525512345678", "525512345678"),
            ("966500000001", "966500000001"),
        ] {
            assert_eq!(one_spelling(form), number, "{form}");
            assert_eq!(PhoneNumber::parse(form).unwrap().digits(), number, "{form}");
        }
        assert_eq!(one_spelling(""), "");
    }

    /// With a zero that is dialled within the country alone, what is left was another number when it was read again.
    #[test]
    fn a_number_read_again_is_the_same_number() {
        for text in ["+55036 1822002", "550361822002", "+5501188887777"] {
            let number = PhoneNumber::parse(text).unwrap();
            assert_eq!(PhoneNumber::parse(number.digits()), Some(number), "{text}");
        }
    }

    #[test]
    fn usual_spellings_of_a_number_are_one_number() {
        for text in
            ["+966500000001", "966500000001", "+966 50 000 0001", " 966-50-000-0001 ", "+966\u{a0}500000001"]
        {
            assert_eq!(PhoneNumber::parse(text).unwrap().digits(), "966500000001", "{text}");
        }
        assert_eq!(PhoneNumber::parse("+14155550123").unwrap().digits(), "14155550123");
    }

    #[test]
    fn what_cannot_be_a_number_is_refused() {
        let long = "9".repeat(5000);
        for text in [
            "",
            "+",
            "12345",
            "+4900000",
            "0500000001",
            "+9665",
            "++966500000001",
            "96650000x001",
            "٩٦٦٥٠٠٠٠٠٠٠١",
            "+999123456789",
            &long,
        ] {
            assert!(PhoneNumber::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_whole_number() {
        let shown = format!("{:?}", PhoneNumber::parse("+966500000001").unwrap());
        assert_eq!(shown, "966…01");
    }
}
