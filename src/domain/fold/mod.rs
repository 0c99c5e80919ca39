//! One spelling for texts that a reader takes for the same: what opt-out words, the rules and the counting compare.
//!
//! Folded away are case, accents, tashkeel, tatweel, the forms of alef, ya and ta marbuta, width and style of letters,
//! letters that look like Latin ones, Arabic-Indic and other digits, punctuation, symbols and invisible characters. What
//! is left are letters, digits and single spaces.

mod look_alikes;
mod table;

pub(crate) use table::{AT, CURRENCY, DOLLAR, DOT, LAST_SIGN, PERCENT, SPACE, STROKE, Table, regional};

/// The canonical form of a text. Folding it again changes nothing.
///
/// Punctuation and symbols vanish (`s.t.o.p` is `stop`), except between two digits, where they leave a space: `1.50`
/// and `150` stay different.
#[must_use]
pub fn fold(text: &str) -> String {
    spelled(&Table::get().codes(text), Spaces::Kept)
}

/// What makes two texts the same for counting: their canonical form without its spaces, so that spacing makes no
/// difference either. Between two digits the space stays: `2 041` and `20 41` are different numbers.
#[must_use]
pub fn identity(text: &str) -> String {
    identity_of(&Table::get().codes(text))
}

/// The same for a text whose codes are known.
pub(crate) fn identity_of(codes: &[u32]) -> String {
    spelled(codes, Spaces::BetweenDigits)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spaces {
    Kept,
    BetweenDigits,
}

const DIGITS: (u32, u32) = (b'0' as u32, b'9' as u32);

/// What stood since the last letter or digit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    Mark,
    Space,
}

fn spelled(codes: &[u32], spaces: Spaces) -> String {
    let mut folded = Vec::with_capacity(codes.len() * 2);
    let mut between = Between::Nothing;
    let mut after_digit = false;
    for &code in codes {
        if code == SPACE {
            between = Between::Space;
            continue;
        }
        if code <= LAST_SIGN {
            between = between.or_mark();
            continue;
        }
        let digit = (DIGITS.0..=DIGITS.1).contains(&code);
        let apart = match between {
            Between::Nothing => false,
            Between::Space if spaces == Spaces::Kept => !folded.is_empty(),
            Between::Space | Between::Mark => digit && after_digit,
        };
        match code {
            0..0x80 => {
                if apart {
                    folded.push(b' ');
                }
                folded.push(code as u8);
            }
            code => {
                let Some(c) = char::from_u32(code) else {
                    between = between.or_mark();
                    continue;
                };
                if apart {
                    folded.push(b' ');
                }
                folded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        after_digit = digit;
        between = Between::Nothing;
    }
    String::from_utf8(folded).unwrap_or_default()
}

impl Between {
    fn or_mark(self) -> Self {
        if self == Self::Nothing { Self::Mark } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::{fold, identity};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn tricks_of_spelling_are_folded_away() {
        for (text, folded) in [
            ("  Hello,   WORLD! ", "hello world"),
            ("s.t.o.p", "stop"),
            ("café ＳＡＬＥ 𝗙𝗥𝗘𝗘 ⓕree", "cafe sale free free"),
            ("fr\u{200b}e\u{ad}e\u{fe0f}", "free"),
            ("ΒUΥ ΟΝΕ dіѕсоunt м", "buy one discount m"),
            ("خَصْمٌ خـــصم", "خصم خصم"),
            ("إيقاف أوقف آخر ٱسم", "ايقاف اوقف اخر اسم"),
            ("على مجانیة کل", "علي مجانيه كل"),
            ("ﺧﺼﻢ ﻻ", "خصم لا"),
            ("٤٠٪ ۵۰% ５０", "40 50 50"),
            ("1,299.50", "1 299 50"),
            ("🎁 gift 🇸🇦", "gift"),
            ("", ""),
            ("…!", ""),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }

    #[test]
    fn the_same_text_is_one_however_it_is_spelled() {
        let text = identity("Your order #2041 has shipped");
        for same in [
            "YOUR ORDER 2041 HAS SHIPPED!!!",
            "Your  order\n#2041 has… shipped 🚚",
            "Y o u r order #٢٠٤١ has shipped",
            "Yоur оrder #2041 hаs shiрped",
            "Your\u{200b} order #20\u{200d}41 has shipped",
        ] {
            assert_eq!(identity(same), text, "{same}");
        }
        assert_eq!(identity("تم شحن طلبك"), identity("تَمَّ شـحن، طلبك"));
    }

    #[test]
    fn digits_tell_texts_apart() {
        assert_ne!(identity("Your order #2041 has shipped"), identity("Your order #2042 has shipped"));
        assert_ne!(identity("1.50"), identity("150"));
        assert_ne!(identity("at 1 23"), identity("at 12 3"));
    }

    #[test]
    fn every_character_folds_to_what_stays() {
        for c in '\0'..=char::MAX {
            let once = fold(&c.to_string());
            assert_eq!(fold(&once), once, "{:x}", c as u32);
            assert!(once.chars().all(|c| c.is_alphanumeric() || c == ' '), "{:x}", c as u32);
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "(\\PC|[ .,0-9a-zأإيةــَ\u{200b}]){0,60}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once.clone());
            prop_assert!(!once.contains("  ") && once.trim() == once);
            prop_assert_eq!(identity(&once), identity(&text));
        }

        #[test]
        fn any_text_can_be_folded(text in any::<String>()) {
            prop_assert_eq!(identity(&identity(&text)), identity(&text));
        }
    }
}
