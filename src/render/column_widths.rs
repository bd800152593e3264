//! How wide the columns of a page are when not all of it fits.

/// What a column does when room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flexibility {
    /// Whether it may be cut.
    pub can_truncate: bool,
    /// When it is left out: 1 goes first; absent: never.
    pub drop_rank: Option<u8>,
}

#[cfg(test)]
impl Flexibility {
    /// A column that is always whole.
    pub(crate) const FIXED: Self = Self { can_truncate: false, drop_rank: None };
    /// A column that is cut but always there.
    pub(crate) const TRUNCATED: Self = Self { can_truncate: true, drop_rank: None };
}

/// Columns that give way keep this much while others can still be left out.
const COMFORTABLE_WIDTH: usize = 16;
/// What they keep however narrow the page is.
const MIN_WIDTH: usize = 8;

/// Decides on the width of each column, `None` for one that is left out. `natural` is how wide each
/// would like to be, `gap` what stands between two.
///
/// The widest that may be cut gives way first, each to 16 columns; then the first column that may
/// leave does. On a page too narrow even so each gives way to 8, and more columns leave. What is
/// then still too wide is as wide as it is: those columns are never cut.
pub(crate) fn fit_columns(
    natural: &[usize],
    gives: &[Flexibility],
    gap: usize,
    page: Option<usize>,
) -> Vec<Option<usize>> {
    let mut kept: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    let Some(page) = page else { return kept };
    let mut ranks: Vec<u8> = gives.iter().filter_map(|give| give.drop_rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    // What has left so far, and the least that the others keep.
    let first = ranks.first().copied().unwrap_or(0);
    let stages = [(0, COMFORTABLE_WIDTH), (first, COMFORTABLE_WIDTH), (first, MIN_WIDTH)]
        .into_iter()
        .chain(ranks.iter().skip(1).map(|rank| (*rank, MIN_WIDTH)));
    for (left, least) in stages {
        kept = natural
            .iter()
            .zip(gives)
            .map(|(width, give)| give.drop_rank.is_none_or(|rank| rank > left).then_some(*width))
            .collect();
        if shrink_to_page(&mut kept, gives, least, gap, page) {
            break;
        }
    }
    kept
}

/// Takes columns off the widest that may be cut until all fit; whether they do.
fn shrink_to_page(
    kept: &mut [Option<usize>],
    gives: &[Flexibility],
    least: usize,
    gap: usize,
    page: usize,
) -> bool {
    // Wider than the page is no use to any column.
    for (width, give) in kept.iter_mut().zip(gives) {
        if let Some(width) = width.as_mut().filter(|_| give.can_truncate) {
            *width = (*width).min(page.max(least));
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
            .zip(gives)
            .filter(|(_, give)| give.can_truncate)
            .filter_map(|(width, _)| width.as_mut().filter(|width| **width > least))
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

    /// WHEN ACTOR ACTION TARGET SOURCE as SCREENS has them.
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
    fn without_a_page_to_keep_to_nothing_gives_way() {
        let wide = [1_000; 5];
        assert_eq!(fit_columns(&wide, &LIST, 2, None), wide.map(Some));
    }

    #[test]
    fn the_wider_of_actor_and_target_gives_way_first() {
        assert_eq!(list([10, 30, 14, 20, 8], 90), [10, 30, 14, 20, 8].map(Some));
        assert_eq!(list([10, 30, 14, 20, 8], 85), [10, 25, 14, 20, 8].map(Some));
        assert_eq!(list([10, 20, 14, 40, 8], 80), [10, 20, 14, 20, 8].map(Some));
        assert_eq!(list([10, 30, 14, 40, 8], 74), [10, 17, 14, 17, 8].map(Some));
    }

    #[test]
    fn then_source_goes_and_the_others_get_its_room() {
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
    fn columns_that_were_asked_for_stay() {
        let gives = [Flexibility::TRUNCATED, Flexibility::FIXED, Flexibility::TRUNCATED];
        assert_eq!(
            fit_columns(&[500_000, 10, 9], &gives, 2, Some(20)),
            [Some(8), Some(10), Some(8)]
        );
    }
}
