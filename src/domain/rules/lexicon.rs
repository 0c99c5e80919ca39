//! All phrases of all rules in one automaton, so that a text is gone through once however many there are.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError, MatchKind};

use super::stem::word_begins;
use super::view::{Plain, Unmasked, look};
use crate::domain::fold::Table;

/// The most lists a rules file can have: one bit each.
pub(super) const LISTS: usize = 128;

/// Collects the phrases.
#[derive(Default)]
pub(super) struct Builder {
    /// Each pattern with the lists it belongs to and the phrase it is a form of.
    patterns: BTreeMap<Vec<u8>, Entry>,
    phrases: u32,
    lists: u8,
}

#[derive(Clone, Copy)]
struct Entry {
    lists: u128,
    phrase: u32,
}

/// The compiled phrases.
pub(super) struct Lexicon {
    words: AhoCorasick,
    entries: Vec<Entry>,
    /// The same without spaces, for letters set apart.
    spelled: AhoCorasick,
    spelled_entries: Vec<Entry>,
    phrases: usize,
}

/// What was found in a text.
pub(super) struct Hits {
    seen: Vec<u64>,
    /// A bit for each list.
    pub(super) lists: u128,
    counts: [u16; LISTS],
}

impl Hits {
    /// How many different phrases of the list were found.
    pub(super) fn count(&self, list: u8) -> u16 {
        self.counts[usize::from(list)]
    }

    #[inline]
    fn add(&mut self, entry: Entry) {
        let word = &mut self.seen[entry.phrase as usize / 64];
        let bit = 1 << (entry.phrase % 64);
        if *word & bit != 0 {
            return;
        }
        *word |= bit;
        self.lists |= entry.lists;
        let mut lists = entry.lists;
        while lists != 0 {
            self.counts[lists.trailing_zeros() as usize] += 1;
            lists &= lists - 1;
        }
    }
}

/// Shorter phrases are too often part of other words to be looked for where the ends of words are lost.
const SPELLED_SHORTEST: usize = 4;

fn codes(text: &str) -> Vec<u32> {
    Table::get().codes(text)
}

/// The pattern of a phrase; `None` when it is nothing, or numbers alone.
///
/// A star at the end stands for any further letters of the word, a dot in front for a dot inside a word.
fn pattern(phrase: &str) -> Option<Vec<u8>> {
    let (phrase, open) = phrase.strip_suffix('*').map_or((phrase, false), |phrase| (phrase, true));
    let (phrase, dot) = phrase.strip_prefix('.').map_or((phrase, false), |phrase| (phrase, true));
    let mut bytes = if open {
        // The marker keeps the last word from being cut; it goes again with the space.
        let mut bytes = Plain::of(&codes(&format!("{phrase}\u{4e00}"))).bytes;
        bytes.truncate(bytes.len() - 2);
        bytes
    } else {
        Plain::of(&codes(phrase)).bytes
    };
    if bytes.iter().all(|byte| matches!(byte, b' ' | b'#' | b'.')) {
        return None;
    }
    if dot {
        bytes.splice(0..1, *b" . ");
    }
    if bytes.get(1).is_some_and(|byte| *byte >= 0x80) {
        bytes.remove(0);
    }
    Some(bytes)
}

impl Builder {
    /// How many lists were begun; the number of the next one.
    pub(super) fn lists(&self) -> u8 {
        self.lists
    }

    /// Begins a list.
    pub(super) fn next_list(&mut self) {
        self.lists += 1;
    }

    /// Adds a phrase to a list; false when it is nothing, or numbers alone.
    pub(super) fn add(&mut self, list: u8, phrase: &str) -> bool {
        let Some(pattern) = pattern(phrase) else { return false };
        let masked: Vec<u8> = pattern.iter().map(|byte| if *byte == b'l' { b'i' } else { *byte }).collect();
        let known = self.patterns.get(&pattern).map(|entry| entry.phrase);
        let phrase = known.unwrap_or_else(|| {
            self.phrases += 1;
            self.phrases - 1
        });
        for form in [pattern, masked] {
            self.patterns.entry(form).or_insert(Entry { lists: 0, phrase }).lists |= 1 << list;
        }
        true
    }

    pub(super) fn build(self) -> Result<Lexicon, BuildError> {
        let mut spelled: BTreeMap<Vec<u8>, Entry> = BTreeMap::new();
        for (pattern, entry) in &self.patterns {
            let letters: Vec<u8> =
                pattern.iter().filter(|byte| **byte != b' ').map(|byte| look(*byte)).collect();
            if letters.len() >= SPELLED_SHORTEST {
                spelled.entry(letters).or_insert(Entry { lists: 0, ..*entry }).lists |= entry.lists;
            }
        }
        Ok(Lexicon {
            words: automaton(self.patterns.keys())?,
            entries: self.patterns.into_values().collect(),
            spelled: automaton(spelled.keys())?,
            spelled_entries: spelled.into_values().collect(),
            phrases: self.phrases as usize,
        })
    }
}

fn automaton<'a>(patterns: impl Iterator<Item = &'a Vec<u8>>) -> Result<AhoCorasick, BuildError> {
    AhoCorasick::builder()
        .match_kind(MatchKind::Standard)
        .kind(Some(AhoCorasickKind::DFA))
        .prefilter(false)
        .build(patterns)
}

impl Lexicon {
    /// All phrases of the text with these codes, as written and unmasked.
    pub(super) fn find(&self, codes: &[u32]) -> Hits {
        let mut hits = Hits { seen: vec![0; self.phrases.div_ceil(64)], lists: 0, counts: [0; LISTS] };
        let plain = Plain::of(codes);
        self.find_words(&plain.bytes, &mut hits);
        if plain.tricky {
            let unmasked = Unmasked::of(codes);
            self.find_words(&unmasked.bytes, &mut hits);
            for found in self.spelled.find_overlapping_iter(&unmasked.spelled) {
                hits.add(self.spelled_entries[found.pattern()]);
            }
        }
        hits
    }

    fn find_words(&self, bytes: &[u8], hits: &mut Hits) {
        for found in self.words.find_overlapping_iter(bytes) {
            // Patterns of other than Arabic words begin with their space.
            if bytes[found.start()] < 0x80 || word_begins(bytes, found.start()) {
                hits.add(self.entries[found.pattern()]);
            }
        }
    }
}
