//! The words of a text with their disguises taken off.

use super::run::Run;
use super::stem::stem;
use super::view::{is_letter, stands_alone};
use super::word::{SHORT, Word};
use crate::domain::fold::{AT, CURRENCY, DOLLAR, LAST_SIGN, PERCENT, SPACE, STROKE, regional};

/// Calls with each word of the text with its disguises taken off: marks inside words removed, letters set apart joined,
/// digits and signs read as the letters they look like, repeated letters once. `l` and `i` are one letter here, because
/// `1`, `!` and `|` are both. With each word comes whether it was put together from single letters.
pub(super) fn unmasked(letters: &[u8], each: impl FnMut(Word<'_>, bool)) {
    let mut unmasked = Unmasked {
        each,
        word: Vec::with_capacity(64),
        token: Vec::with_capacity(64),
        run: Vec::new(),
        repeated: false,
        gap: 0,
        sign: None,
    };
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        if letter <= LAST_SIGN {
            unmasked.sign(letter);
            at += 1;
        } else if stands_alone(letters, at) {
            unmasked.single(letter);
            at += 1;
        } else {
            let run = Run::of(&letters[at..]);
            unmasked.letters(&letters[at..at + run.length], run.flags);
            at += run.length;
        }
    }
    unmasked.end_token();
    unmasked.end_run();
}

struct Unmasked<F> {
    each: F,
    word: Vec<u8>,
    token: Vec<u8>,
    /// Letters set apart, none more than twice in a row.
    run: Vec<u8>,
    /// One of them came more often.
    repeated: bool,
    gap: usize,
    sign: Option<u8>,
}

impl<F: FnMut(Word<'_>, bool)> Unmasked<F> {
    #[inline]
    fn sign(&mut self, sign: u8) {
        match sign {
            SPACE => {
                self.end_token();
                self.gap += 1;
            }
            AT => self.sign = Some(b'a'),
            STROKE if !self.token.is_empty() => self.sign = Some(b'1'),
            DOLLAR => self.sign = Some(b's'),
            PERCENT | CURRENCY => {
                self.end_token();
                self.end_run();
                (self.each)(Word::of(if sign == PERCENT { b"%" } else { b"$" }), false);
            }
            _ => {}
        }
    }

    /// Adds what stands between two signs.
    #[inline]
    fn letters(&mut self, letters: &[u8], flags: bool) {
        self.end_sign(letters[0]);
        if flags {
            self.token.extend(letters.iter().map(|letter| regional(*letter).unwrap_or(*letter)));
        } else {
            self.token.extend_from_slice(letters);
        }
    }

    /// Adds a letter between two signs.
    #[inline]
    fn single(&mut self, letter: u8) {
        self.end_sign(letter);
        self.token.push(letter);
    }

    /// A sign before a letter may stand for one.
    #[inline]
    fn end_sign(&mut self, next: u8) {
        if let Some(sign) = self.sign.take() {
            if is_letter(regional(next).unwrap_or(next)) {
                self.token.push(sign);
            } else if sign == b's' {
                (self.each)(Word::of(b"$"), false);
            }
        }
    }

    #[inline]
    fn end_token(&mut self) {
        self.sign = None;
        match self.token[..] {
            [] => return,
            [byte] if is_letter(byte) || !self.run.is_empty() => {
                if self.gap > 1 {
                    self.end_run();
                }
                if self.run.ends_with(&[byte; 2]) {
                    self.repeated = true;
                } else {
                    self.run.push(byte);
                }
            }
            _ => {
                self.end_run();
                let word = std::mem::take(&mut self.token);
                self.push(&word, Run::of(&word), false);
                self.token = word;
            }
        }
        self.token.clear();
        self.gap = 0;
    }

    fn end_run(&mut self) {
        if self.run.is_empty() {
            return;
        }
        let letters = std::mem::take(&mut self.run);
        let mut run = Run::of(&letters);
        run.repeated = std::mem::take(&mut self.repeated);
        self.push(&letters, run, true);
        self.run = letters;
        self.run.clear();
    }

    fn push(&mut self, word: &[u8], run: Run, spelled: bool) {
        if run.number {
            (self.each)(Word::of(b"#"), false);
            return;
        }
        self.word.clear();
        if run.repeated {
            self.push_at_most(word, 2, spelled);
            self.push_at_most(word, 1, spelled);
        } else if run.digits {
            self.word.extend(word.iter().map(|letter| undigit(*letter)));
            self.emit(spelled);
        } else {
            self.word.extend_from_slice(word);
            self.emit(spelled);
        }
    }

    /// The word with no letter more than `most` times in a row.
    fn push_at_most(&mut self, word: &[u8], most: usize, spelled: bool) {
        let (mut times, mut before) = (0, 0);
        for &letter in word {
            times = if letter == before { times + 1 } else { 1 };
            before = letter;
            if times <= most {
                self.word.push(undigit(letter));
            }
        }
        self.emit(spelled);
    }

    fn emit(&mut self, spelled: bool) {
        let stem = stem(&self.word);
        self.word[stem.clone()].iter_mut().for_each(|byte| *byte = look(*byte));
        self.word.extend_from_slice(&[0; SHORT]);
        (self.each)(Word::within(&self.word, stem), spelled);
        self.word.clear();
    }
}

/// The letter a digit inside a word stands for.
fn undigit(byte: u8) -> u8 {
    match byte {
        b'0' => b'o',
        b'1' => b'l',
        b'3' => b'e',
        b'4' => b'a',
        b'5' => b's',
        b'7' => b't',
        b'8' => b'b',
        b'9' | b'6' => b'g',
        byte => byte,
    }
}

/// One byte for the letters that are one in [`unmasked`].
pub(super) fn look(byte: u8) -> u8 {
    match byte {
        b'l' => b'i',
        byte => byte,
    }
}
