//! STOP and START: recognised when they are the whole message, however they are spelled.

use super::fold::fold;

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

#[cfg(test)]
mod tests {
    use super::{Wish, wish};

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
}
