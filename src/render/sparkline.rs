//! A row of counts as a row of small bars.

use crate::terminal::DisplayOptions;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII_BARS: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// Returns a bar for each count; the greatest count has the tallest bar, and only zero the lowest.
pub(crate) fn draw(counts: &[u64], display: &DisplayOptions) -> String {
    let bars = if display.utf8 { BARS } else { ASCII_BARS };
    let greatest = counts.iter().copied().max().unwrap_or(0);
    counts.iter().map(|count| bars[bar_height(*count, greatest)]).collect()
}

/// Returns the height of a bar, from 0 for zero to 7 for the greatest count.
fn bar_height(count: u64, greatest: u64) -> usize {
    if greatest == 0 {
        return 0;
    }
    let height = (u128::from(count) * 7).div_ceil(u128::from(greatest));
    usize::try_from(height).expect("at most 7")
}

/// Sums neighbouring counts, from the newest back, with the first of `steps` that leaves at most
/// `limit` sums; returns the sums and the number of counts in each.
pub(crate) fn condense(counts: &[u64], limit: usize, steps: &[usize]) -> (Vec<u64>, usize) {
    let step = steps
        .iter()
        .copied()
        .find(|step| counts.len().div_ceil(*step) <= limit)
        .or(steps.last().copied())
        .unwrap_or(1);
    let mut sums: Vec<u64> = counts.rchunks(step).map(|chunk| chunk.iter().sum()).collect();
    sums.reverse();
    (sums, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: DisplayOptions = DisplayOptions { colour: false, utf8: true, width: None };

    #[test]
    fn the_greatest_is_the_tallest_and_one_is_more_than_none() {
        assert_eq!(draw(&[0, 1, 50, 100], &LOOK), "▁▂▅█");
        assert_eq!(draw(&[0, 0], &LOOK), "▁▁");
        assert_eq!(draw(&[3, 3], &LOOK), "██");
        assert_eq!(draw(&[u64::MAX, 1, 0], &LOOK), "█▂▁");
        assert_eq!(draw(&[], &LOOK), "");
        assert_eq!(draw(&[0, 1, 50, 100], &DisplayOptions { utf8: false, ..LOOK }), "_.=#");
    }

    #[test]
    fn a_long_row_is_condensed_from_its_newest_end() {
        assert_eq!(condense(&[1, 2, 3, 4], 4, &[1, 3, 12]), (vec![1, 2, 3, 4], 1));
        assert_eq!(condense(&[1, 2, 3, 4], 2, &[1, 3, 12]), (vec![1, 9], 3));
        assert_eq!(condense(&[1; 100], 2, &[1, 3, 12]).1, 12);
    }
}
