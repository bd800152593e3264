//! The widths of columns on a page that is too narrow for all of them.

/// How a column may shrink on a narrow page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flexibility {
    pub shrinking: Shrinking,
    /// The order in which columns are left out, from 1; absent: never left out.
    pub drop_rank: Option<u8>,
}

/// How far the cells of a column may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shrinking {
    Never,
    /// As far as the page needs it.
    Free,
    /// At 32 where the page does not fit, and further only before a column would be left out.
    Late,
    /// It gets what the other columns leave, and stays away where that is little.
    Remainder,
}

#[cfg(test)]
impl Flexibility {
    /// A column that is never cut or left out.
    pub(crate) const FIXED: Self = Self { shrinking: Shrinking::Never, drop_rank: None };
    /// A column that may be cut but is never left out.
    pub(crate) const TRUNCATED: Self = Self { shrinking: Shrinking::Free, drop_rank: None };
}

/// The width to which columns shrink before others are left out.
const COMFORTABLE_WIDTH: usize = 16;
/// The least width to which columns shrink.
const MIN_WIDTH: usize = 12;
/// The width of a late column on a page that does not fit, and the least to which it shrinks.
const LATE_WIDTHS: (usize, usize) = (32, 16);
/// The least width that a column of the remainder needs, unless it is narrower by itself.
const MIN_REMAINDER: usize = 20;

/// The widths of one try to fit a page.
#[derive(Clone, Copy)]
struct FittingStage {
    /// The highest rank that is left out.
    dropped: u8,
    /// The least width of the free columns.
    free: usize,
    /// The greatest and the least width of the late columns.
    late: (usize, usize),
}

/// Returns the width of each column, `None` for one that is left out. `natural` has the widths of the
/// uncut columns, `gap` is the number of blanks between two.
///
/// First the late columns are cut at 32 and the widest free ones shrink, each to 16 at least; then the
/// column with the lowest rank is left out. If that is not enough, the free columns shrink to 12, the
/// late ones to 16, and more are left out. The remaining columns are never cut, and the table may then be
/// wider than the page. What is left goes to the columns of the remainder.
pub(crate) fn fit_columns(
    natural: &[usize],
    flexibilities: &[Flexibility],
    gap: usize,
    page: Option<usize>,
) -> Vec<Option<usize>> {
    let is_remainder = |flexibility: &Flexibility| flexibility.shrinking == Shrinking::Remainder;
    // An empty column of the remainder has nothing to say.
    let columns = || natural.iter().zip(flexibilities);
    let all = columns()
        .map(|(width, flexibility)| (*width > 0 || !is_remainder(flexibility)).then_some(*width));
    let Some(page) = page else { return all.collect() };
    let mut ranks: Vec<u8> =
        flexibilities.iter().filter_map(|flexibility| flexibility.drop_rank).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let first = ranks.first().copied().unwrap_or(0);
    let (late, least_late) = LATE_WIDTHS;
    let stage = |dropped, free, late| FittingStage { dropped, free, late };
    let stages = [
        // Nothing is cut where all fits.
        stage(0, usize::MAX, (usize::MAX, usize::MAX)),
        stage(0, COMFORTABLE_WIDTH, (late, late)),
        stage(first, COMFORTABLE_WIDTH, (late, late)),
        stage(first, MIN_WIDTH, (late, late)),
        stage(first, MIN_WIDTH, (late, least_late)),
    ];
    let more = ranks.iter().skip(1).map(|rank| stage(*rank, MIN_WIDTH, (late, least_late)));
    let mut kept = Vec::new();
    for stage in stages.into_iter().chain(more) {
        kept = columns()
            .map(|(width, flexibility)| {
                let is_kept = flexibility.drop_rank.is_none_or(|rank| rank > stage.dropped)
                    && !is_remainder(flexibility);
                let widest = match flexibility.shrinking {
                    Shrinking::Late => stage.late.0,
                    Shrinking::Never | Shrinking::Free | Shrinking::Remainder => usize::MAX,
                };
                is_kept.then_some(widest.min(*width))
            })
            .collect();
        if shrink_to_page(&mut kept, flexibilities, stage, gap, page) {
            break;
        }
    }
    let is_complete = columns()
        .zip(&kept)
        .all(|((_, flexibility), kept)| is_remainder(flexibility) || kept.is_some());
    for (place, (width, flexibility)) in columns().enumerate() {
        let room = page.saturating_sub(total_width(&kept, gap) + gap);
        let fits = *width > 0 && room >= (*width).min(MIN_REMAINDER);
        if is_remainder(flexibility) && is_complete && fits {
            kept[place] = Some(room.min(*width));
        }
    }
    kept
}

fn total_width(kept: &[Option<usize>], gap: usize) -> usize {
    let count = kept.iter().flatten().count();
    kept.iter().flatten().sum::<usize>() + gap * count.saturating_sub(1)
}

/// Shrinks the widest columns that may be cut until all fit; returns whether they do.
fn shrink_to_page(
    kept: &mut [Option<usize>],
    flexibilities: &[Flexibility],
    stage: FittingStage,
    gap: usize,
    page: usize,
) -> bool {
    let least = |flexibility: &Flexibility| match flexibility.shrinking {
        Shrinking::Free => stage.free,
        Shrinking::Late => stage.late.1,
        Shrinking::Never | Shrinking::Remainder => usize::MAX,
    };
    // No column needs more than the page, and the loop below takes one column of width at a time.
    for (width, flexibility) in kept.iter_mut().zip(flexibilities) {
        if let Some(width) = width.as_mut().filter(|_| least(flexibility) < usize::MAX) {
            *width = (*width).min(page.max(least(flexibility)));
        }
    }
    while total_width(kept, gap) > page {
        // The free columns first.
        let may_shrink = |late: bool, width: &usize, flexibility: &Flexibility| {
            (flexibility.shrinking == Shrinking::Late) == late && *width > least(flexibility)
        };
        let widest = [false, true].into_iter().find_map(|late| {
            kept.iter()
                .zip(flexibilities)
                .enumerate()
                .filter_map(|(place, (width, flexibility))| {
                    let width = width.filter(|width| may_shrink(late, width, flexibility))?;
                    Some((width, place))
                })
                .max()
        });
        let Some((width, place)) = widest else { return false };
        kept[place] = Some(width - 1);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WHEN ACTOR ACTION TARGET SOURCE as in the view `activity`.
    const LIST: [Flexibility; 5] = [
        Flexibility::FIXED,
        Flexibility { shrinking: Shrinking::Free, drop_rank: Some(3) },
        Flexibility { shrinking: Shrinking::Late, drop_rank: None },
        Flexibility { shrinking: Shrinking::Free, drop_rank: Some(2) },
        Flexibility { shrinking: Shrinking::Never, drop_rank: Some(1) },
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
        assert_eq!(list([10, 30, 14, 30, 8], 54), [Some(10), Some(12), Some(14), Some(12), None]);
        assert_eq!(list([10, 30, 14, 30, 8], 45), [Some(10), Some(17), Some(14), None, None]);
        assert_eq!(list([10, 30, 14, 30, 8], 30), [Some(10), None, Some(14), None, None]);
        assert_eq!(
            list([10, 30, 14, 30, 8], 5),
            [Some(10), None, Some(14), None, None],
            "a short action and when are never cut"
        );
    }

    #[test]
    fn a_long_action_costs_no_column() {
        assert_eq!(list([10, 14, 50, 14, 8], 120), [10, 14, 50, 14, 8].map(Some));
        assert_eq!(list([10, 14, 50, 14, 8], 90), [10, 14, 32, 14, 8].map(Some));
        assert_eq!(list([10, 30, 90, 30, 8], 72), [Some(10), Some(12), Some(32), Some(12), None]);
        assert_eq!(list([10, 30, 90, 30, 8], 60), [Some(10), Some(12), Some(20), Some(12), None]);
    }

    #[test]
    fn the_remainder_of_a_page_has_room_for_one_more() {
        let flexibilities =
            [Flexibility::FIXED, Flexibility { shrinking: Shrinking::Remainder, drop_rank: None }];
        let fit = |natural: [usize; 2], page| fit_columns(&natural, &flexibilities, 2, page);
        assert_eq!(fit([50, 30], Some(84)), [Some(50), Some(30)]);
        assert_eq!(fit([50, 30], Some(74)), [Some(50), Some(22)]);
        assert_eq!(fit([50, 30], Some(71)), [Some(50), None]);
        assert_eq!(fit([50, 5], Some(57)), [Some(50), Some(5)]);
        assert_eq!(fit([50, 0], Some(100)), [Some(50), None]);
        assert_eq!(fit([50, 30], None), [Some(50), Some(30)]);
    }

    #[test]
    fn requested_columns_stay() {
        let flexibilities = [Flexibility::TRUNCATED, Flexibility::FIXED, Flexibility::TRUNCATED];
        assert_eq!(
            fit_columns(&[500_000, 10, 9], &flexibilities, 2, Some(20)),
            [Some(12), Some(10), Some(9)]
        );
    }
}
