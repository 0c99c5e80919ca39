//! One spelling for texts that a reader takes for the same: what opt-out words, the rules and the counting compare.
//!
//! Folded away are case, accents, tashkeel, tatweel, the forms of alef, ya and ta marbuta, width and style of letters,
//! letters that look like Latin ones, Arabic-Indic and other digits, punctuation, symbols and invisible characters. What
//! is left are letters, digits and single spaces.

mod look_alikes;
mod table;

pub(crate) use table::{
    AT, CURRENCY, DOLLAR, DOT, LAST_SIGN, OTHER, PERCENT, SPACE, STROKE, Table, is_arabic, regional,
};
use table::{UTF8, is_between};

/// The canonical form of a text. Folding it again changes nothing.
///
/// Punctuation and symbols vanish (`s.t.o.p` is `stop`), except between two digits, where they leave a space: `1.50`
/// and `150` stay different.
#[must_use]
pub fn fold(text: &str) -> String {
    Table::get().fold(text).spelled(Spaces::Kept)
}

/// What makes two texts the same for counting: their canonical form without its spaces, so that spacing makes no
/// difference either. Between two digits the space stays: `2 041` and `20 41` are different numbers.
#[must_use]
pub fn identity(text: &str) -> String {
    Table::get().fold(text).identity()
}

/// What is left of a text, a byte for each sign, letter and digit.
///
/// Signs are those up to [`LAST_SIGN`], letters and digits are in ASCII, [`regional`] and [`is_arabic`] tell halves of flags
/// and Arabic letters, and the rest are [`OTHER`].
pub(crate) struct Folded {
    pub(crate) letters: Vec<u8>,
    /// Which the others are, in their order.
    others: Vec<char>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spaces {
    Kept,
    BetweenDigits,
}

impl Folded {
    /// The same as [`identity`] of the text.
    pub(crate) fn identity(&self) -> String {
        if self.others.is_empty() { self.joined() } else { self.spelled(Spaces::BetweenDigits) }
    }

    /// [`Spaces::BetweenDigits`] where every letter has a byte: two bytes are written for each, and as many of them kept
    /// as it has in UTF-8, so that nothing depends on what it is.
    fn joined(&self) -> String {
        let mut joined = vec![0_u8; self.letters.len() * 2 + 2];
        let (mut length, mut before) = (0, SPACE);
        for &letter in &self.letters {
            if letter.is_ascii_digit()
                && is_between(before)
                && length > 0
                && joined[length - 1].is_ascii_digit()
            {
                joined[length] = b' ';
                length += 1;
            }
            let (bytes, kept) = UTF8[usize::from(letter)];
            [joined[length], joined[length + 1]] = bytes;
            length += usize::from(kept);
            before = letter;
        }
        joined.truncate(length);
        String::from_utf8(joined).unwrap_or_default()
    }

    fn spelled(&self, spaces: Spaces) -> String {
        let mut spelled = Vec::with_capacity(self.letters.len() * 2);
        let mut others = self.others.iter();
        let (mut space, mut after_digit) = (false, false);
        let mut rest = &self.letters[..];
        while let [first, after @ ..] = rest {
            if is_between(*first) {
                space |= *first == SPACE;
                rest = after;
                continue;
            }
            let apart = space && spaces == Spaces::Kept && !spelled.is_empty();
            if apart || (after_digit && first.is_ascii_digit()) {
                spelled.push(b' ');
            }
            let length = rest.iter().position(|letter| is_between(*letter)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(length);
            for letter in word {
                match (*letter, UTF8[usize::from(*letter)]) {
                    (OTHER, _) => others.next().into_iter().for_each(|c| {
                        spelled.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    }),
                    (_, (bytes, length)) => spelled.extend_from_slice(&bytes[..usize::from(length)]),
                }
            }
            (space, after_digit) = (false, word.last().is_some_and(u8::is_ascii_digit));
            rest = behind;
        }
        String::from_utf8(spelled).unwrap_or_default()
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
