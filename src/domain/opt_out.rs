//! STOP and START: recognised when they are the whole message, however they are spelled.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::fold::fold;

/// What somebody asks for by one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// No more messages.
    OptOut,
    /// Messages again.
    OptIn,
    /// No more marketing; said in WhatsApp's own settings, not by a word.
    StopMarketing,
    /// Marketing again; said there, too.
    ResumeMarketing,
}

/// English, Arabic, French, Spanish, Urdu and Hindi, as people write them in one word or two.
const OPT_OUT: [&str; 48] = [
    "stop",
    "stopall",
    "stop all",
    "unsubscribe",
    "cancel",
    "end",
    "quit",
    "optout",
    "opt-out",
    "opt out",
    "revoke",
    "remove",
    "إيقاف",
    "أوقف",
    "توقف",
    "إلغاء",
    "إلغاء الاشتراك",
    "arrêt",
    "arrêter",
    "arrêtez",
    "désabonner",
    "me désabonner",
    "désinscrire",
    "désinscription",
    "parar",
    "pare",
    "alto",
    "baja",
    "darme de baja",
    "cancelar",
    "detener",
    "salir",
    "بند",
    "بند کریں",
    "بند کرو",
    "بند کر دیں",
    "روکیں",
    "روکو",
    "रोकें",
    "रोको",
    "रोक दो",
    "बंद",
    "बंद करें",
    "बंद करो",
    "बंद कर दो",
    "बन्द",
    "सदस्यता रद्द करें",
    "मत भेजो",
];
const OPT_IN: [&str; 18] = [
    "start",
    "unstop",
    "اشتراك",
    "démarrer",
    "recommencer",
    "réabonner",
    "me réabonner",
    "iniciar",
    "empezar",
    "reanudar",
    "alta",
    "شروع",
    "شروع کریں",
    "شروع کرو",
    "शुरू",
    "शुरू करें",
    "शुरू करो",
    "चालू करें",
];

impl Wish {
    /// The name in the database and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OptOut => "opt_out",
            Self::OptIn => "opt_in",
            Self::StopMarketing => "stop_marketing",
            Self::ResumeMarketing => "resume_marketing",
        }
    }

    /// The wish of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::OptOut, Self::OptIn, Self::StopMarketing, Self::ResumeMarketing];
        all.into_iter().find(|wish| wish.as_str() == name)
    }
}

/// The words as they are compared.
static WISHES: LazyLock<HashMap<String, Wish>> = LazyLock::new(|| {
    let outs = OPT_OUT.iter().map(|word| (fold(word), Wish::OptOut));
    let ins = OPT_IN.iter().map(|word| (fold(word), Wish::OptIn));
    outs.chain(ins).collect()
});

/// Longer texts are never an opt-out word; folding them would be wasted.
const LONGEST: usize = 200;

/// The text in the spelling that words are compared in; `None` where it can be none of them: it is too long, or nothing
/// is left of it.
#[must_use]
pub fn folded(text: &str) -> Option<String> {
    if text.len() > LONGEST {
        return None;
    }
    Some(fold(text)).filter(|folded| !folded.is_empty())
}

/// What a [`folded`] text asks for by the built-in words.
#[must_use]
pub fn built_in(folded: &str) -> Option<Wish> {
    WISHES.get(folded).copied()
}

/// What the text asks for, when one of the built-in words is all it says.
#[must_use]
pub fn wish(text: &str) -> Option<Wish> {
    built_in(&folded(text)?)
}

#[cfg(test)]
mod tests {
    use super::{OPT_IN, OPT_OUT, WISHES, Wish, folded, wish};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_folding_twice_is_folding_once(text in r"\PC{0,80}|.{0,40}") {
            if let Some(once) = folded(&text) {
                prop_assert!(!once.is_empty());
                prop_assert_eq!(folded(&once), Some(once));
            }
            prop_assert_eq!(wish(&text), wish(&format!(" {text}\n")));
        }
    }

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
            "ARRÊTEZ !",
            "arreter",
            "¡BAJA!",
            "Darme de baja.",
            "بند کریں۔",
            "बंद करें।",
        ];
        for text in outs {
            assert_eq!(wish(text), Some(Wish::OptOut), "{text}");
        }
        for text in ["START", "unstop", "إشتراك", "Démarrer", "Alta", "شروع کریں", "शुरू करें"]
        {
            assert_eq!(wish(text), Some(Wish::OptIn), "{text}");
        }
    }

    #[test]
    fn every_word_is_a_wish_and_none_is_two() {
        assert!(OPT_OUT.iter().all(|word| wish(word) == Some(Wish::OptOut)));
        assert!(OPT_IN.iter().all(|word| wish(word) == Some(Wish::OptIn)));
        assert!(WISHES.keys().all(|word| !word.is_empty()));
    }

    #[test]
    fn a_word_inside_a_sentence_is_no_wish() {
        let long = "stop ".repeat(100);
        for text in [
            "",
            "please stop calling the shop",
            "bus stop",
            "do not cancel",
            "توقف الباص",
            "बंद दुकान",
            "no pare aquí",
            "starting",
            &long,
        ] {
            assert_eq!(wish(text), None, "{text}");
        }
    }
}
