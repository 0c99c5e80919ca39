//! Rules about what a text says and how it looks.

use std::sync::Arc;

use regex::Regex;

use super::hidden::hidden_words;
use super::lexicon::Hits;
use super::{Purposes, Signal};
use crate::domain::fold::fold;

/// A rule whose conditions must all hold.
pub(super) struct TextRule {
    pub(super) rule: Arc<str>,
    pub(super) weight: u8,
    pub(super) purposes: Purposes,
    /// Each of these lists has a phrase in the text.
    pub(super) all_of: u128,
    /// These lists together have at least so many different phrases in the text; none asked for when there are none.
    pub(super) any_of: Vec<u8>,
    pub(super) at_least: u16,
    /// These lists have no phrase in the text.
    pub(super) unless: Vec<u8>,
    pub(super) shape: Shape,
    pub(super) regex: Option<Regex>,
}

/// Conditions that are not about words.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// More characters than this.
    pub(super) longer_than: Option<u32>,
    /// At least so many links.
    pub(super) links: Option<u32>,
    /// At least so many of a hundred Latin letters are capitals, and the letters are at least forty.
    pub(super) capitals: Option<u32>,
    /// Nothing in it could be a code.
    pub(super) without_code: bool,
    /// The wording has at least so many points.
    pub(super) wording: Option<u32>,
    /// At least so many letters stand alone in a row.
    pub(super) spelled: Option<u32>,
    /// At least so many words have letters of two alphabets, or something invisible between their letters.
    pub(super) hidden: Option<u32>,
}

/// A text with fewer letters does not shout.
const SHOUTING_LETTERS: usize = 40;

/// A text and what is worked out of it at most once.
pub(super) struct Subject<'a> {
    pub(super) text: &'a str,
    pub(super) hits: Hits,
    folded: Option<String>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(text: &'a str, hits: Hits) -> Self {
        Self { text, hits, folded: None }
    }

    fn folded(&mut self) -> &str {
        self.folded.get_or_insert_with(|| fold(self.text))
    }
}

impl TextRule {
    /// The signal when all conditions hold; the dearest are asked last.
    pub(super) fn signal(&self, subject: &mut Subject<'_>) -> Option<Signal> {
        let hits = &subject.hits;
        if hits.lists & self.all_of != self.all_of {
            return None;
        }
        let count =
            |lists: &[u8]| lists.iter().fold(0_u16, |sum, list| sum.saturating_add(hits.count(*list)));
        if count(&self.unless) > 0 {
            return None;
        }
        let matches = count(&self.any_of);
        if !self.any_of.is_empty() && matches < self.at_least {
            return None;
        }
        let mut facts = Vec::new();
        if !self.any_of.is_empty() {
            facts.push(("matches", i64::from(matches)));
        } else if self.all_of != 0 {
            facts.push(("lists", i64::from(self.all_of.count_ones())));
        }
        self.shape.holds(subject, &mut facts)?;
        if let Some(regex) = &self.regex
            && !regex.is_match(subject.folded())
        {
            return None;
        }
        Some(Signal { rule: Arc::clone(&self.rule), weight: self.weight, facts })
    }
}

impl Shape {
    fn holds(self, subject: &mut Subject<'_>, facts: &mut Vec<(&'static str, i64)>) -> Option<()> {
        let mut fact = |name, value: usize, needed: u32| {
            facts.push((name, i64::try_from(value).unwrap_or(i64::MAX)));
            (value >= needed as usize).then_some(())
        };
        if let Some(needed) = self.wording {
            fact("wording", usize::try_from(subject.hits.wording()).unwrap_or_default(), needed)?;
        }
        if let Some(needed) = self.spelled {
            fact("spelled_letters", subject.hits.spelled as usize, needed)?;
        }
        if let Some(needed) = self.hidden {
            fact("hidden_words", hidden_words(subject.text), needed)?;
        }
        if let Some(limit) = self.longer_than {
            fact("characters", subject.text.chars().count(), limit.saturating_add(1))?;
        }
        if let Some(needed) = self.links {
            fact("links", links(subject.text), needed)?;
        }
        if let Some(needed) = self.capitals {
            fact("capitals_percent", capitals(subject.text), needed)?;
        }
        (!self.without_code || !has_code(subject.folded())).then_some(())
    }
}

/// How many addresses begin in the text.
fn links(text: &str) -> usize {
    let bytes = text.as_bytes();
    let www = memchr::memchr_iter(b'.', bytes).filter(|dot| {
        let begins = *dot >= 3 && bytes[dot - 3..*dot].eq_ignore_ascii_case(b"www");
        begins && dot + 1 < bytes.len() && (*dot == 3 || bytes[dot - 4].is_ascii_whitespace())
    });
    memchr::memmem::find_iter(bytes, b"://").count() + www.count()
}

/// How many of a hundred Latin letters are capitals; 0 when they are too few to tell.
fn capitals(text: &str) -> usize {
    let capitals = count(text, u8::is_ascii_uppercase);
    let letters = capitals + count(text, u8::is_ascii_lowercase);
    if letters < SHOUTING_LETTERS { 0 } else { capitals * 100 / letters }
}

/// How many bytes are of a kind. Few enough at a time are counted in a byte for the processor to take many at once.
fn count(text: &str, is: impl Fn(&u8) -> bool) -> usize {
    let counts = text.as_bytes().chunks(usize::from(u8::MAX));
    counts.map(|chunk| usize::from(chunk.iter().fold(0, |count, byte| count + u8::from(is(byte))))).sum()
}

/// Whether some word of a folded text could be a one-time code: four to eight digits, also in groups of two and more,
/// or a word of four to twelve letters and digits with both in it.
fn has_code(folded: &str) -> bool {
    let mut grouped = 0;
    for word in folded.split(' ') {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let length = word.chars().count();
        if digits > 0 && (4..=12).contains(&length) && (digits < length || length <= 8) {
            return true;
        }
        grouped = if digits == length && digits >= 2 { grouped + digits } else { 0 };
        if (4..=8).contains(&grouped) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{capitals, has_code, links};
    use crate::domain::fold::fold;

    #[test]
    fn codes_are_found() {
        for text in
            ["482913 is your code", "code: 7710", "093 552", "٤٠٩١٧٧", "QX81-LM20", "G-220184", "12345678"]
        {
            assert!(has_code(&fold(text)), "{text}");
        }
        for text in ["", "no code here", "123", "5 minutes", "1 2 3 4", "123456789", "رمز التحقق"] {
            assert!(!has_code(&fold(text)), "{text}");
        }
    }

    #[test]
    fn links_and_capitals_are_counted() {
        assert_eq!(links("https://a.b/c?d=www.e.f and WWW.g.h, http://i.j"), 3);
        assert_eq!(links("awww. fine"), 0);
        assert_eq!(capitals("SERVER DOWN"), 0);
        assert_eq!(capitals(&"AAAa".repeat(20)), 75);
    }
}
