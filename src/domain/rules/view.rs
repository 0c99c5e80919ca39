//! The words of a text as they are written; [`unmasked`](super::unmasked) is the other reading. Each word is bytes, one for a
//! letter.
//!
//! A number is `#`, a percent sign `%`, a sign of money `$`, a dot inside a word `.`, each a word of its own. Arabic
//! letters are bytes above 0x80, all other letters `?`. Words lose what only their grammar adds (see [`stem`]).

use super::run::Run;
use super::stem::stem;
use super::word::Word;
use crate::domain::fold::{CURRENCY, DOLLAR, DOT, LAST_SIGN, PERCENT, SPACE, is_arabic, regional};

pub(super) fn is_letter(byte: u8) -> bool {
    byte.is_ascii_lowercase() || is_arabic(byte)
}

/// Whether a letter, no digit and no half of a flag, stands between two signs.
#[inline]
pub(super) fn stands_alone(letters: &[u8], at: usize) -> bool {
    letters[at] >= b'a' && letters.get(at + 1).is_none_or(|next| *next <= LAST_SIGN)
}

/// How a text is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Writing {
    /// Something may hide words, such as digits or marks inside of them, single letters in a row, letters repeated: a
    /// second look is worth its time.
    pub(super) tricky: bool,
    /// The most single letters in a row.
    pub(super) spelled: u32,
}

/// Calls with each word of the text as it is written.
pub(super) fn plain(letters: &[u8], each: impl FnMut(Word<'_>)) -> Writing {
    let mut plain = Plain {
        each,
        kept: Vec::new(),
        last: 0,
        writing: Writing::default(),
        any: false,
        joined: false,
        singles: 0,
        mark: None,
    };
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        if letter <= LAST_SIGN {
            plain.sign(letter, at > 0 && letters[at - 1] > LAST_SIGN);
            at += 1;
        } else if stands_alone(letters, at) {
            plain.single(letters, at);
            at += 1;
        } else {
            let run = Run::of(&letters[at..]);
            plain.run(letters, at, run);
            at += run.length;
        }
    }
    plain.writing
}

struct Plain<F> {
    each: F,
    /// What is left of a word when halves of flags are taken out of it.
    kept: Vec<u8>,
    /// The last letter of the word before, if it has any.
    last: u8,
    writing: Writing,
    /// There was a word.
    any: bool,
    /// The word before is a number, and only one mark stands between.
    joined: bool,
    /// So many words before have one letter.
    singles: u32,
    /// The mark that stands directly before.
    mark: Option<u8>,
}

impl<F: FnMut(Word<'_>)> Plain<F> {
    fn sign(&mut self, sign: u8, after_letter: bool) {
        match sign {
            SPACE => (self.joined, self.mark) = (false, None),
            PERCENT | CURRENCY | DOLLAR => {
                self.writing.tricky |= after_letter && is_letter(self.last);
                self.emit(if sign == PERCENT { b"%" } else { b"$" });
                (self.joined, self.mark) = (false, None);
            }
            mark => {
                self.joined &= self.mark.is_none();
                self.mark = Some(mark);
            }
        }
    }

    /// Reads what stands between two signs. Halves of flags are no part of the word.
    #[inline]
    fn run(&mut self, text: &[u8], from: usize, run: Run) {
        if run.flags {
            self.writing.tricky = true;
            let mut kept = std::mem::take(&mut self.kept);
            kept.clear();
            kept.extend(text[from..from + run.length].iter().filter(|letter| regional(**letter).is_none()));
            self.word(&kept, 0, Run::of(&kept));
            self.kept = kept;
        } else {
            self.word(text, from, run);
        }
    }

    /// A word of one letter. Where words are spelled there are many.
    #[inline]
    fn single(&mut self, text: &[u8], at: usize) {
        self.last = text[at];
        self.separate(true);
        self.singles += 1;
        self.writing.spelled = self.writing.spelled.max(self.singles);
        self.writing.tricky |= self.singles > 1;
        (self.each)(Word::within(text, at..at + 1));
        (self.any, self.joined, self.mark) = (true, false, None);
    }

    /// Looks at what stands before a word: a mark without a space, and before a letter, may hide one.
    #[inline]
    fn separate(&mut self, letter: bool) {
        let tight = self.mark.is_some() && letter;
        self.writing.tricky |= tight;
        if tight && self.mark == Some(DOT) && self.any {
            self.emit(b".");
        }
    }

    #[inline]
    fn word(&mut self, text: &[u8], from: usize, run: Run) {
        let word = &text[from..from + run.length];
        self.last = word.last().copied().unwrap_or_default();
        let Some(first) = word.first() else { return };
        self.separate(!first.is_ascii_digit());
        self.singles = if run.length == 1 && !run.number { self.singles + 1 } else { 0 };
        self.writing.spelled = self.writing.spelled.max(self.singles);
        if run.number {
            if !self.joined {
                self.emit(b"#");
            }
        } else {
            self.writing.tricky |= run.repeated || run.digits;
            if run.digits {
                self.split_number(word);
            } else {
                let stem = stem(word);
                (self.each)(Word::within(text, from + stem.start..from + stem.end));
            }
        }
        self.writing.tricky |= self.singles > 1;
        (self.any, self.joined, self.mark) = (true, run.number, None);
    }

    fn emit(&mut self, sign: &[u8; 1]) {
        (self.each)(Word::of(sign));
        self.any = true;
    }

    /// `199sar` is `# sar`, `save40` is `save #`; a single digit may be a letter in disguise and stays.
    fn split_number(&mut self, word: &[u8]) {
        let leading = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let trailing = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let from = if leading >= 2 { leading } else { 0 };
        let to = word.len() - if trailing >= 2 { trailing } else { 0 };
        if from > 0 {
            (self.each)(Word::of(b"#"));
        }
        (self.each)(Word::within(word, from..to));
        if to < word.len() {
            (self.each)(Word::of(b"#"));
        }
    }
}
