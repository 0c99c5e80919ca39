//! All phrases of all rules in one tree of words, so that a text is gone through once however many there are.

use std::ops::RangeInclusive;

use rustc_hash::FxHashMap;

use super::stem::{is_arabic, joined};
use super::unmasked::{look, unmasked};
use super::view::plain;
use super::word::{NONE, Word, Words};
use crate::domain::fold::Table;

/// The most lists a rules file can have: one bit each.
pub(super) const LISTS: usize = 128;

/// In single letters whose words have no ends, words are looked for among so many of a text, each of so many letters.
const SPELLED_LETTERS: usize = 128;
const SPELLED_WORD: RangeInclusive<usize> = 3..=16;

/// The node before the first word of a phrase.
const START: u32 = 0;

/// The compiled phrases.
#[derive(Default)]
pub(super) struct Lexicon {
    /// The id of each word as it is written, and as it is when its disguises are taken off.
    words: Words,
    unmasked: Words,
    /// By the word's id, the node that a phrase's first word leads to; [`START`] when no phrase begins with it.
    first: Vec<u32>,
    /// By a node and the id of a further word, the node they lead to.
    further: FxHashMap<u64, u32>,
    /// What each node means.
    nodes: Vec<Node>,
    lists: u8,
}

#[derive(Default)]
struct Node {
    /// The lists that the phrase which ends here belongs to.
    lists: u128,
    /// What the phrase says about the wording.
    points: i32,
    /// A bit for each word that phrases go on with from here, in the place that its id has in [`bit`].
    next: u64,
}

/// What was found in a text.
pub(super) struct Hits {
    seen: Vec<u64>,
    /// A bit for each list.
    pub(super) lists: u128,
    counts: [u16; LISTS],
    /// The sum of the points of all phrases that were found.
    points: i32,
    /// How many words the text has.
    words: u32,
    /// The most single letters in a row.
    pub(super) spelled: u32,
}

/// Added to the number of words, so that a text of a word or two is not judged by these alone.
const FEW_WORDS: u32 = 3;

impl Hits {
    /// How many different phrases of the list were found.
    pub(super) fn count(&self, list: u8) -> u16 {
        self.counts[usize::from(list)]
    }

    /// The points of the wording. They do not add up in long texts as they do in short ones: a long text has more phrases
    /// of every kind, and their sum grows with the root of their number when they mean nothing.
    pub(super) fn wording(&self) -> i32 {
        (f64::from(self.points) / self.scale()).round() as i32
    }

    fn scale(&self) -> f64 {
        f64::from(self.words + FEW_WORDS).sqrt()
    }

    #[inline]
    fn add(&mut self, node: u32, found: &Node) {
        let word = &mut self.seen[node as usize / 64];
        let bit = 1 << (node % 64);
        if *word & bit != 0 || (found.lists == 0 && found.points == 0) {
            return;
        }
        *word |= bit;
        self.points = self.points.saturating_add(found.points);
        self.lists |= found.lists;
        let mut lists = found.lists;
        while lists != 0 {
            self.counts[lists.trailing_zeros() as usize] += 1;
            lists &= lists - 1;
        }
    }
}

impl Lexicon {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { first: vec![START], nodes: vec![Node::default()], ..Self::default() }
    }

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
        self.node(phrase).map(|node| self.nodes[node].lists |= 1 << list).is_some()
    }

    /// Gives a phrase points for the wording; false when it is nothing.
    pub(super) fn weigh(&mut self, phrase: &str, points: i32) -> bool {
        self.node(phrase).map(|node| self.nodes[node].points = points).is_some()
    }

    /// The node that a phrase ends at, new if need be; `None` when it is nothing, or numbers alone.
    ///
    /// A dot in front stands for a dot inside a word.
    fn node(&mut self, phrase: &str) -> Option<usize> {
        let (phrase, dot) = phrase.strip_prefix('.').map_or((phrase, false), |phrase| (phrase, true));
        let mut words: Vec<Box<[u8]>> = Vec::new();
        plain(&Table::get().fold(phrase).letters, |word| words.push(word.letters().into()));
        if words.iter().all(|word| matches!(**word, [b'#' | b'.'])) {
            return None;
        }
        if dot {
            words.insert(0, b"."[..].into());
        }
        let mut node = START;
        for word in words {
            let id = self.id(&word);
            let new = u32::try_from(self.nodes.len()).ok()?;
            let next = if node == START {
                let first = &mut self.first[id as usize];
                *first = if *first == START { new } else { *first };
                *first
            } else {
                self.nodes[node as usize].next |= bit(id);
                *self.further.entry(step(node, id)).or_insert(new)
            };
            if next == new {
                self.nodes.push(Node::default());
            }
            node = next;
        }
        Some(node as usize)
    }

    fn id(&mut self, word: &[u8]) -> u32 {
        let new = u32::try_from(self.first.len()).unwrap_or(u32::MAX);
        let id = self.words.get_or_insert(Word::of(word), new);
        if id == new {
            let looks: Vec<u8> = word.iter().map(|letter| look(*letter)).collect();
            self.unmasked.get_or_insert(Word::of(&looks), new);
            self.first.push(START);
        }
        id
    }

    /// Notes what a node means; what phrases go on with from it.
    #[inline]
    fn arrive(&self, node: u32, hits: &mut Hits) -> u64 {
        let found = &self.nodes[node as usize];
        hits.add(node, found);
        found.next
    }

    /// All phrases of the text with these letters, as written and unmasked.
    pub(super) fn find(&self, letters: &[u8]) -> Hits {
        let hits = Hits {
            seen: vec![0; self.nodes.len().div_ceil(64)],
            lists: 0,
            counts: [0; LISTS],
            points: 0,
            words: 0,
            spelled: 0,
        };
        let mut reading = Reading { lexicon: self, open: Vec::new(), hits };
        let mut count = 0;
        let plain = plain(letters, |word| {
            count += 1;
            reading.word(id_of(&self.words, word));
        });
        reading.hits.spelled = plain.spelled;
        if plain.tricky {
            reading.open.clear();
            let mut most = SPELLED_LETTERS;
            unmasked(letters, |word, spelled| match id_of(&self.unmasked, word) {
                NONE if spelled => {
                    let letters = word.letters();
                    let word = &letters[..letters.len().min(most)];
                    most -= word.len();
                    reading.words_within(word);
                }
                id => reading.word(id),
            });
        }
        reading.hits.words = count;
        reading.hits
    }
}

/// Phrases to be looked for in texts as the rules do it: what their points are fitted with.
pub struct Vocabulary(Lexicon);

/// What a [`Vocabulary`] finds in a text.
pub struct Found {
    /// The phrases, each once.
    pub phrases: Vec<u32>,
    /// What the sum of their points is divided by.
    pub scale: f64,
}

impl Default for Vocabulary {
    fn default() -> Self {
        let mut lexicon = Lexicon::new();
        lexicon.next_list();
        Self(lexicon)
    }
}

impl Vocabulary {
    /// Adds a phrase and says its number, which is that of all phrases that are the same to the rules; `None` when it is
    /// nothing, or numbers alone.
    pub fn add(&mut self, phrase: &str) -> Option<u32> {
        self.0.add(0, phrase).then(|| self.0.node(phrase))?.and_then(|node| u32::try_from(node).ok())
    }

    /// The phrases of a text.
    #[must_use]
    pub fn find(&self, text: &str) -> Found {
        let hits = self.0.find(&Table::get().fold(text).letters);
        let bits = |(at, word): (usize, &u64)| {
            let word = *word;
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at as u32 * 64 + bit)
        };
        Found { phrases: hits.seen.iter().enumerate().flat_map(bits).collect(), scale: hits.scale() }
    }
}

/// One bit of a few for the id of a word: most words that do not go on with a phrase are told by it, without a look into
/// the tree.
#[inline]
fn bit(id: u32) -> u64 {
    1 << (id % u64::BITS)
}

/// The key of a step from a node with a word.
#[inline]
fn step(node: u32, id: u32) -> u64 {
    u64::from(node) << 32 | u64::from(id)
}

/// The id of a word, of an Arabic one also without what is joined to its front.
#[inline]
fn id_of(words: &Words, word: Word<'_>) -> u32 {
    let id = words.get(word);
    if id == NONE && is_arabic(word.letters()) { id_without_joined(words, word) } else { id }
}

#[inline(never)]
fn id_without_joined(words: &Words, word: Word<'_>) -> u32 {
    let shorter = (1..=joined(word.letters())).map(|letters| words.get(word.without(letters)));
    shorter.into_iter().find(|id| *id != NONE).unwrap_or(NONE)
}

/// Goes through a text word by word.
struct Reading<'a> {
    lexicon: &'a Lexicon,
    /// The phrases that are begun, with what they may go on with.
    open: Vec<(u32, u64)>,
    hits: Hits,
}

impl Reading<'_> {
    #[inline]
    fn word(&mut self, id: u32) {
        if id == NONE {
            self.open.clear();
            return;
        }
        let (lexicon, hits) = (self.lexicon, &mut self.hits);
        self.open.retain_mut(|(node, next)| {
            let further = if *next & bit(id) == 0 { None } else { lexicon.further.get(&step(*node, id)) };
            let Some(further) = further else { return false };
            (*node, *next) = (*further, lexicon.arrive(*further, hits));
            *next != 0
        });
        let first = lexicon.first[id as usize];
        if first != START {
            let next = lexicon.arrive(first, hits);
            if next != 0 {
                self.open.push((first, next));
            }
        }
    }

    /// Reads letters without ends of words: the longest word that begins, and on behind it.
    fn words_within(&mut self, mut letters: &[u8]) {
        while let Some((_, rest)) = letters.split_first() {
            let lengths = SPELLED_WORD.rev().filter(|length| *length <= letters.len());
            let first = Word::of(letters);
            let ids = lengths.map(|length| (self.lexicon.unmasked.get(first.first(length)), length));
            let known = ids.into_iter().find(|(id, _)| *id != NONE);
            let (id, length) = known.unwrap_or((NONE, letters.len() - rest.len()));
            self.word(id);
            letters = &letters[length..];
        }
    }
}
