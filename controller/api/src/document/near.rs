//! What a misspelt word was meant to be.

/// The most that a misspelt word may differ from a known one to be taken for it: two slips of a finger.
const SLIPS_MAX: usize = 2;
/// Words that a message lists when none is near: more is not read.
const LISTED_MAX: usize = 12;

/// The known word that was most likely meant: at most two slips away, and less than the whole word.
#[must_use]
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // Words of very different length are not compared: a list of names may be long.
    let possible = known.into_iter().filter(|k| k.len().abs_diff(word.len()) <= SLIPS_MAX * 4);
    let measured = possible.map(|k| (strsim::damerau_levenshtein(word, k), k));
    measured.filter(|(slips, k)| *slips <= SLIPS_MAX && *slips < k.chars().count()).min().map(|(_, k)| k)
}

/// The remedy for a word that is not among the known ones: the one that was meant, or `otherwise` and a list.
#[must_use]
pub fn did_you_mean<'w>(word: &str, known: impl IntoIterator<Item = &'w str>, otherwise: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(word, known.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    let listed = known.iter().take(LISTED_MAX).map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
    let more = if known.len() > LISTED_MAX { ", …" } else { "" };
    format!("{otherwise} {listed}{more}")
}
