//! The widths of columns on a page that is too narrow for all of them.

/// How a column may shrink on a narrow page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flexibility {
    /// Whether its cells may be cut.
    pub can_truncate: bool,
    /// The order in which columns are left out, from 1; absent: never left out.
    pub drop_rank: Option<u8>,
}

#[cfg(test)]
impl Flexibility {
    /// A column that is never cut or left out.
    pub(crate) const FIXED: Self = Self { can_truncate: false, drop_rank: None };
    /// A column that may be cut but is never left out.
    pub(crate) const TRUNCATED: Self = Self { can_truncate: true, drop_rank: None };
}

/// The width to which columns shrink before others are left out.
const COMFORTABLE_WIDTH: usize = 16;
/// The least width to which columns shrink.
const MIN_WIDTH: usize = 8;

/// Returns the width of each column, `None` for one that is left out. `natural` has the widths of the
/// uncut columns, `gap` is the number of blanks between two.
///
/// First the widest columns that may be cut shrink, each to 16 at least; then the column with the
/// lowest rank is left out. If that is not enough, the columns shrink to 8 and more are left out. The
/// remaining columns are never cut, and the table may then be wider than the page.
pub(crate) fn fit_columns(
    natural: &[usize],
    flexibilities: &[Flexibility],
    gap: usize,
    page: Option<usize>,
) -> Vec<Option<usize>> {
    let mut kept: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    let Some(page) = page else { return kept };
    let mut ranks: Vec<u8> =
        flexibilities.iter().filter_map(|flexibility| flexibility.drop_rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    // Each stage: the highest rank that is left out, and the least width of the other columns.
    let first = ranks.first().copied().unwrap_or(0);
    let stages = [(0, COMFORTABLE_WIDTH), (first, COMFORTABLE_WIDTH), (first, MIN_WIDTH)]
        .into_iter()
        .chain(ranks.iter().skip(1).map(|rank| (*rank, MIN_WIDTH)));
    for (dropped, min_width) in stages {
        kept = natural
            .iter()
            .zip(flexibilities)
            .map(|(width, flexibility)| {
                let is_kept = flexibility.drop_rank.is_none_or(|rank| rank > dropped);
                is_kept.then_some(*width)
            })
            .collect();
        if shrink_to_page(&mut kept, flexibilities, min_width, gap, page) {
            break;
        }
    }
    kept
}

/// Shrinks the widest columns that may be cut until all fit; returns whether they do.
fn shrink_to_page(
    kept: &mut [Option<usize>],
    flexibilities: &[Flexibility],
    min_width: usize,
    gap: usize,
    page: usize,
) -> bool {
    // No column needs more than the page, and the loop below takes one column of width at a time.
    for (width, flexibility) in kept.iter_mut().zip(flexibilities) {
        if let Some(width) = width.as_mut().filter(|_| flexibility.can_truncate) {
            *width = (*width).min(page.max(min_width));
        }
    }
    loop {
        let count = kept.iter().flatten().count();
        let total: usize = kept.iter().flatten().sum::<usize>() + gap * count.saturating_sub(1);
        if total <= page {
            return true;
        }
        let widest = kept
            .iter_mut()
            .zip(flexibilities)
            .filter(|(_, flexibility)| flexibility.can_truncate)
            .filter_map(|(width, _)| width.as_mut().filter(|width| **width > min_width))
            .max_by_key(|width| **width);
        match widest {
            Some(width) => *width -= 1,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WHEN ACTOR ACTION TARGET SOURCE as in the view `activity`.
    const LIST: [Flexibility; 5] = [
        Flexibility::FIXED,
        Flexibility { can_truncate: true, drop_rank: Some(3) },
        Flexibility::FIXED,
        Flexibility { can_truncate: true, drop_rank: Some(2) },
        Flexibility { can_truncate: false, drop_rank: Some(1) },
    ];

    fn list(natural: [usize; 5], page: usize) -> Vec<Option<usize>> {
        fit_columns(&natural, &LIST, 2, Some(page))
    }

    #[test]
    fn without_a_page_width_no_column_shrinks() {
        let wide = [1_000; 5];
        assert_eq!(fit_columns(&wide, &LIST, 2, None), wide.map(Some));
    }

    #[test]
    fn the_wider_of_actor_and_target_shrinks_first() {
        assert_eq!(list([10, 30, 14, 20, 8], 90), [10, 30, 14, 20, 8].map(Some));
        assert_eq!(list([10, 30, 14, 20, 8], 85), [10, 25, 14, 20, 8].map(Some));
        assert_eq!(list([10, 20, 14, 40, 8], 80), [10, 20, 14, 20, 8].map(Some));
        assert_eq!(list([10, 30, 14, 40, 8], 74), [10, 17, 14, 17, 8].map(Some));
    }

    #[test]
    fn then_source_is_left_out_and_the_others_get_its_room() {
        assert_eq!(list([10, 30, 14, 30, 8], 72), [10, 16, 14, 16, 8].map(Some));
        assert_eq!(list([10, 30, 14, 30, 8], 71), [Some(10), Some(21), Some(14), Some(20), None]);
    }

    #[test]
    fn on_a_narrow_page_less_is_shown_whole_rather_than_all_in_pieces() {
        assert_eq!(list([10, 30, 14, 30, 8], 50), [Some(10), Some(10), Some(14), Some(10), None]);
        assert_eq!(list([10, 30, 14, 30, 8], 45), [Some(10), Some(17), Some(14), None, None]);
        assert_eq!(list([10, 30, 14, 30, 8], 30), [Some(10), None, Some(14), None, None]);
        assert_eq!(
            list([10, 30, 14, 30, 8], 5),
            [Some(10), None, Some(14), None, None],
            "action and when are never cut"
        );
    }

    #[test]
    fn requested_columns_stay() {
        let flexibilities = [Flexibility::TRUNCATED, Flexibility::FIXED, Flexibility::TRUNCATED];
        assert_eq!(
            fit_columns(&[500_000, 10, 9], &flexibilities, 2, Some(20)),
            [Some(8), Some(10), Some(8)]
        );
    }
}
