//! Rules about what a text says and how it looks.

use std::sync::Arc;

use regex::Regex;

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
    let capitals = text.bytes().filter(u8::is_ascii_uppercase).count();
    let letters = capitals + text.bytes().filter(u8::is_ascii_lowercase).count();
    if letters < SHOUTING_LETTERS { 0 } else { capitals * 100 / letters }
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

/// The alphabets whose letters are put in each other's place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Latin,
    Arabic,
    /// Greek, Cyrillic, full-width and styled letters: those with look-alikes among the Latin ones.
    Alike,
}

fn alphabet(c: char) -> Option<Alphabet> {
    match c {
        'A'..='Z' | 'a'..='z' => Some(Alphabet::Latin),
        '\u{620}'..='\u{64a}' | '\u{671}'..='\u{6d3}' => Some(Alphabet::Arabic),
        '\u{386}'..='\u{481}'
        | '\u{48a}'..='\u{52f}'
        | '\u{ff21}'..='\u{ff3a}'
        | '\u{ff41}'..='\u{ff5a}'
        | '\u{1d400}'..='\u{1d7cb}' => Some(Alphabet::Alike),
        _ => None,
    }
}

/// Shows nothing and joins nothing. Those that choose a direction, or the form of an Arabic letter, have their use.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}'..='\u{2063}' | '\u{feff}' | '\u{34f}' | '\u{180e}')
}

/// How many words have letters of two alphabets, or something invisible between their letters. Arabic words do not count
/// for the first: they are written beside others without a space.
fn hidden_words(text: &str) -> usize {
    // Bytes that begin only characters of plain English and Arabic texts.
    if !text.bytes().any(|byte| matches!(byte, 0xc2 | 0xcd..=0xd4 | 0xe1..=0xef | 0xf0)) {
        return 0;
    }
    text.split_whitespace().filter(|word| is_hidden(word)).count()
}

fn is_hidden(word: &str) -> bool {
    let (mut latin, mut alike, mut before, mut gap) = (false, false, None, false);
    for c in word.chars() {
        if is_invisible(c) || (matches!(c, '\u{200c}' | '\u{200d}') && before != Some(Alphabet::Arabic)) {
            gap = true;
            continue;
        }
        let alphabet = alphabet(c);
        if alphabet.is_none() && !c.is_alphanumeric() {
            // `SMS-код` is two words, each of one alphabet.
            if latin && alike {
                return true;
            }
            (latin, alike) = (false, false);
        }
        if gap && before.is_some() && alphabet.is_some() {
            return true;
        }
        latin |= alphabet == Some(Alphabet::Latin);
        alike |= alphabet == Some(Alphabet::Alike);
        (before, gap) = (alphabet, false);
    }
    latin && alike
}

#[cfg(test)]
mod tests {
    use super::{capitals, has_code, hidden_words, links};
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
    fn hidden_words_are_counted() {
        for (text, count) in [
            ("", 0),
            ("plain words, خصم and café €5 👨\u{200d}👩\u{200d}👧", 0),
            ("Привет мир, Ελλάδα", 0),
            ("Ваш PIN-код 4821, SMS-код: https://x.ru/заказ", 0),
            ("fr\u{435}e/g\u{456}ft", 1),
            ("می\u{200c}خواهم \u{200f}خصم\u{200f} \u{feff}start", 0),
            ("dіsсount sаle", 2),
            ("dis\u{200b}count no\u{2060}w f\u{200c}ree", 3),
            ("خص\u{200b}م", 1),
            ("ｓale 𝗳ree", 2),
        ] {
            assert_eq!(hidden_words(text), count, "{text}");
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
