//! Words as numbers, and the ids of those that are in phrases.

use std::ops::Range;

use rustc_hash::FxHashMap;

/// The id of a word that is in no phrase.
pub(super) const NONE: u32 = 0;

/// So many letters make a number.
pub(super) const SHORT: usize = 16;

/// What is left of a number for each count of letters.
const MASKS: [u128; SHORT + 1] = {
    let mut masks = [0; SHORT + 1];
    let mut length = 1;
    while length <= SHORT {
        masks[length] = masks[length - 1] << 8 | 0xff;
        length += 1;
    }
    masks
};

/// A word. Short ones are looked up by the number that their letters make: one comparison, and no letter is gone through.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    /// The word and what follows it: a number is made in one step where enough letters are.
    text: &'a [u8],
    length: usize,
}

impl<'a> Word<'a> {
    /// All of the letters.
    #[inline]
    pub(super) fn of(letters: &'a [u8]) -> Self {
        Self { text: letters, length: letters.len() }
    }

    /// A word of a text.
    #[inline]
    pub(super) fn within(text: &'a [u8], place: Range<usize>) -> Self {
        Self { text: &text[place.start..], length: place.len() }
    }

    /// The word's letters.
    #[inline]
    pub(super) fn letters(self) -> &'a [u8] {
        &self.text[..self.length]
    }

    /// The word without so many letters at its front.
    #[inline]
    pub(super) fn without(self, letters: usize) -> Self {
        Self { text: &self.text[letters..], length: self.length - letters }
    }

    /// The word's first letters.
    #[inline]
    pub(super) fn first(self, length: usize) -> Self {
        Self { length, ..self }
    }

    /// The number that the letters of a short word make.
    #[inline]
    fn number(self) -> u128 {
        let first = self.text.first_chunk().copied().unwrap_or_else(|| {
            let mut first = [0; SHORT];
            first[..self.text.len()].copy_from_slice(self.text);
            first
        });
        u128::from_le_bytes(first) & MASKS[self.length]
    }
}

/// The ids of words.
pub(super) struct Words {
    /// By the letter or sign that is the word.
    single: [u32; 256],
    short: FxHashMap<u128, u32>,
    long: FxHashMap<Box<[u8]>, u32>,
}

impl Default for Words {
    fn default() -> Self {
        Self { single: [NONE; 256], short: FxHashMap::default(), long: FxHashMap::default() }
    }
}

impl Words {
    /// The id of a word, or [`NONE`]. One letter is looked up where it is read, as texts that spell words ask for it often.
    #[inline]
    pub(super) fn get(&self, word: Word<'_>) -> u32 {
        match word.letters() {
            [letter] => self.single[usize::from(*letter)],
            letters => self.several(word, letters),
        }
    }

    #[inline(never)]
    fn several(&self, word: Word<'_>, letters: &[u8]) -> u32 {
        let id = if letters.len() <= SHORT { self.short.get(&word.number()) } else { self.long.get(letters) };
        id.copied().unwrap_or(NONE)
    }

    /// Gives a word this id unless it has one; what it has then.
    pub(super) fn get_or_insert(&mut self, word: Word<'_>, id: u32) -> u32 {
        let place = match word.letters() {
            [letter] => &mut self.single[usize::from(*letter)],
            letters if letters.len() <= SHORT => self.short.entry(word.number()).or_insert(NONE),
            letters => self.long.entry(letters.into()).or_insert(NONE),
        };
        *place = if *place == NONE { id } else { *place };
        *place
    }
}
