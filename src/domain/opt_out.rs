//! STOP and START: recognised when they are the whole message, however they are spelled.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// What somebody asks for by one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No more messages.
    OptOut,
    /// Messages again.
    OptIn,
}

const OPT_OUT: [&str; 16] = [
    "stop",
    "stopall",
    "unsubscribe",
    "cancel",
    "end",
    "quit",
    "optout",
    "opt-out",
    "revoke",
    "remove",
    "arret",
    "إيقاف",
    "أوقف",
    "توقف",
    "إلغاء",
    "إلغاء الاشتراك",
];
const OPT_IN: [&str; 3] = ["start", "unstop", "اشتراك"];

/// Longer texts are never an opt-out word; folding them would be wasted.
const LONGEST: usize = 200;

/// What the text asks for, when one of the words is all it says.
#[must_use]
pub fn wish(text: &str) -> Option<Wish> {
    if text.len() > LONGEST {
        return None;
    }
    let folded = fold(text);
    if OPT_OUT.iter().any(|word| fold(word) == folded) {
        Some(Wish::OptOut)
    } else if OPT_IN.iter().any(|word| fold(word) == folded) {
        Some(Wish::OptIn)
    } else {
        None
    }
}

/// The text without what does not change its meaning: case, accents, width, tashkeel, tatweel, forms of alef, ya and
/// ta marbuta, punctuation, invisible characters, repeated spaces.
fn fold(text: &str) -> String {
    let letters = text.nfkd().flat_map(char::to_lowercase).filter_map(|c| match c {
        'ى' => Some('ي'),
        'ة' => Some('ه'),
        'ٱ' => Some('ا'),
        c if c.is_whitespace() => Some(' '),
        'ـ' => None,
        // Accents, tashkeel and hamza above combine with the letter before them.
        c if c.is_alphanumeric() && canonical_combining_class(c) == 0 && !is_mark(c) => Some(c),
        _ => None,
    });
    let spaced: String = letters.collect();
    spaced.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Arabic vowel signs, some of which count as alphabetic.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{064b}'..='\u{065f}' | '\u{0670}' | '\u{06d6}'..='\u{06ed}')
}

#[cfg(test)]
mod tests {
    use super::{Wish, fold, wish};
    use proptest::prelude::{prop_assert_eq, proptest};

    #[test]
    fn the_words_are_found_however_they_are_written() {
        let outs = [
            "STOP",
            " stop. ",
            "Stop!",
            "ＳＴＯＰ",
            "s\u{200b}top",
            "Arrêt",
            "Opt-Out",
            "stop\n",
            "ايقاف",
            "إِيقاف",
            "إيقـــاف",
            "الغاء الإشتراك",
            "إلغاء",
        ];
        for text in outs {
            assert_eq!(wish(text), Some(Wish::OptOut), "{text}");
        }
        for text in ["START", "unstop", "إشتراك"] {
            assert_eq!(wish(text), Some(Wish::OptIn), "{text}");
        }
    }

    #[test]
    fn a_word_inside_a_sentence_is_no_wish() {
        let long = "stop ".repeat(100);
        for text in
            ["", "please stop calling the shop", "bus stop", "do not cancel", "توقف الباص", "starting", &long]
        {
            assert_eq!(wish(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in "\\PC{0,40}") {
            prop_assert_eq!(fold(&fold(&text)), fold(&text));
        }
    }
}
