//! Where a second, closer look pays: the regions around what the first look found.

/// Around a region's longer side: this share of it in all, and these cells more.
const MARGIN_SHARE: f32 = 1.6;
const MARGIN_CELLS: f32 = 24.0;

/// A region is at least so large, so that the network sees what the wound lies in.
const SIDE_MIN: u32 = 72;

/// What fills more of the grid than this was seen well enough.
const SIDE_MAX_SHARE: f32 = 0.6;

/// At most so many regions are looked at, the largest findings first.
const REGIONS_MAX: usize = 4;

/// The share of the closer look in the middle of its region. It fades out towards the sides, over this part of
/// the shorter one, where that look lacks the surroundings.
const WEIGHT: f32 = 0.6;
const FADE_SHARE: f32 = 0.125;

/// A rectangle of the grid, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Region {
    fn right(self) -> u32 {
        self.x + self.width
    }

    fn bottom(self) -> u32 {
        self.y + self.height
    }

    fn touches(self, other: Region) -> bool {
        self.x < other.right()
            && other.x < self.right()
            && self.y < other.bottom()
            && other.y < self.bottom()
    }

    fn with(self, other: Region) -> Region {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let (right, bottom) = (self.right().max(other.right()), self.bottom().max(other.bottom()));
        Region { x, y, width: right - x, height: bottom - y }
    }

    /// The square to look at, as much of it as there is.
    fn grown(self, width: u32, height: u32) -> Region {
        let longer = self.width.max(self.height) as f32;
        let side = ((longer * MARGIN_SHARE + MARGIN_CELLS) as u32).max(SIDE_MIN);
        let along = |from: u32, length: u32, whole: u32| {
            let middle = from + length / 2;
            let side = side.min(whole);
            (middle.saturating_sub(side / 2).min(whole - side), side)
        };
        let (x, width) = along(self.x, self.width, width);
        let (y, height) = along(self.y, self.height, height);
        Region { x, y, width, height }
    }

    /// How much the closer look counts at a cell of the region.
    pub(super) fn weight(self, column: u32, row: u32) -> f32 {
        let edge = |at: u32, length: u32| at.min(length - 1 - at) as f32;
        let near = edge(column, self.width).min(edge(row, self.height));
        let fade = self.width.min(self.height) as f32 * FADE_SHARE;
        WEIGHT * (near / fade).min(1.0)
    }
}

/// The regions worth a closer look, none touching another: around the cells above `threshold`.
pub(super) fn regions(logits: &[f32], width: u32, height: u32, threshold: f32) -> Vec<Region> {
    let mut found = findings(logits, width, height, threshold);
    found.sort_by_key(|(_, cells)| std::cmp::Reverse(*cells));
    let mut regions: Vec<Region> = Vec::new();
    for (finding, _) in found {
        let mut region = finding.grown(width, height);
        while let Some(at) = regions.iter().position(|other| other.touches(region)) {
            region = region.with(regions.swap_remove(at));
        }
        regions.push(region);
    }
    let side_max = width.max(height) as f32 * SIDE_MAX_SHARE;
    regions.retain(|region| region.width.max(region.height) as f32 <= side_max);
    regions.truncate(REGIONS_MAX);
    regions
}

/// The bounding box and the size of every patch of cells above the threshold.
fn findings(logits: &[f32], width: u32, height: u32, threshold: f32) -> Vec<(Region, usize)> {
    let mut open: Vec<bool> = logits.iter().map(|logit| *logit > threshold).collect();
    let mut found = Vec::new();
    let mut edge = Vec::new();
    for start in 0..open.len() {
        if !std::mem::take(&mut open[start]) {
            continue;
        }
        edge.push(start);
        let (mut region, mut cells) = (None::<Region>, 0);
        while let Some(cell) = edge.pop() {
            let (x, y) = (cell as u32 % width, cell as u32 / width);
            let here = Region { x, y, width: 1, height: 1 };
            region = Some(region.map_or(here, |region| region.with(here)));
            cells += 1;
            for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1)] {
                let near = x.checked_add_signed(dx).zip(y.checked_add_signed(dy));
                let Some((x, y)) = near.filter(|(x, y)| *x < width && *y < height) else {
                    continue;
                };
                let next = (y * width + x) as usize;
                if std::mem::take(&mut open[next]) {
                    edge.push(next);
                }
            }
        }
        found.extend(region.map(|region| (region, cells)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(width: u32, height: u32, wound: &[Region]) -> Vec<f32> {
        let inside = |x: u32, y: u32| {
            wound.iter().any(|it| it.touches(Region { x, y, width: 1, height: 1 }))
        };
        (0..height)
            .flat_map(|y| (0..width).map(move |x| (x, y)))
            .map(|(x, y)| if inside(x, y) { 1.0 } else { -1.0 })
            .collect()
    }

    fn region(x: u32, y: u32, width: u32, height: u32) -> Region {
        Region { x, y, width, height }
    }

    #[test]
    fn around_a_small_finding_there_is_room() {
        let found = regions(&grid(384, 288, &[region(100, 90, 20, 10)]), 384, 288, 0.0);
        assert_eq!(found, [region(74, 59, 72, 72)]);
    }

    #[test]
    fn at_the_edge_of_the_grid_the_region_stays_within_it() {
        let found = regions(&grid(384, 60, &[region(380, 56, 4, 4)]), 384, 60, 0.0);
        assert_eq!(found, [region(312, 0, 72, 60)]);
    }

    #[test]
    fn neighbours_are_looked_at_together_and_the_distant_apart() {
        let wounds = [region(50, 50, 10, 10), region(80, 60, 10, 10), region(300, 300, 8, 8)];
        let found = regions(&grid(384, 384, &wounds), 384, 384, 0.0);
        assert_eq!(found.len(), 2);
        assert!(found.iter().any(|it| it.touches(wounds[0]) && it.touches(wounds[1])));
        assert!(found.iter().any(|it| it.touches(wounds[2])));
        assert!(!found[0].touches(found[1]));
    }

    #[test]
    fn nothing_and_what_fills_the_picture_need_no_closer_look() {
        assert!(regions(&grid(384, 384, &[]), 384, 384, 0.0).is_empty());
        assert!(regions(&grid(384, 384, &[region(20, 20, 200, 90)]), 384, 384, 0.0).is_empty());
    }

    #[test]
    fn there_are_not_more_regions_than_time_for_them() {
        let wounds: Vec<_> =
            (0..9).map(|it| region(20 + it % 3 * 130, 20 + it / 3 * 130, 5, 5)).collect();
        assert_eq!(regions(&grid(384, 384, &wounds), 384, 384, 0.0).len(), REGIONS_MAX);
    }

    #[test]
    fn the_closer_look_fades_towards_the_sides() {
        let region = region(10, 10, 80, 80);
        assert!(region.weight(0, 40).abs() < 1e-6);
        assert!((region.weight(40, 40) - WEIGHT).abs() < 1e-6);
        assert!(region.weight(40, 77) < region.weight(40, 72));
    }
}
