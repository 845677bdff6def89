//! Real captures show the same thing in the picture and in the depth, unturned: where depth jumps,
//! colour changes. Turned or mirrored depth would fit worse.

use wound::capture::{Capture, Frame};
use wound::importers::{Options, import};

use crate::table::{data, tell};

/// How much more the depth changes where the light changes: the correlation of both maps' edges.
fn fit(light: &[f64], depth: &[f64], width: usize) -> f64 {
    let edges = |map: &[f64]| -> Vec<f64> {
        let height = map.len() / width;
        let inner = (1..height - 1).flat_map(|y| (1..width - 1).map(move |x| (x, y)));
        let slope = |(x, y): (usize, usize)| {
            let at = y * width + x;
            (map[at + 1] - map[at - 1]).hypot(map[at + width] - map[at - width])
        };
        inner.map(|at| slope(at).ln_1p()).collect()
    };
    let (a, b) = (edges(light), edges(depth));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(&b).map(|(a, b)| of(a - mean_a, b - mean_b)).sum()
    };
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

fn fits(frame: &Frame) -> [f64; 4] {
    let depth = frame.depth();
    let (width, height) = (depth.width() as usize, depth.height() as usize);
    let small = image::imageops::resize(
        frame.image(),
        depth.width(),
        depth.height(),
        image::imageops::FilterType::Triangle,
    );
    let light: Vec<f64> =
        small.pixels().map(|pixel| pixel.0.iter().map(|it| f64::from(*it)).sum()).collect();
    // In units of 2 cm; what was not measured lies far behind.
    let far = |metres: &f32| if *metres > 0.0 { f64::from(metres.min(1.5)) } else { 1.5 };
    let map: Vec<f64> = depth.metres().iter().map(|metres| 50.0 * far(metres)).collect();
    let turned = |of: &dyn Fn(usize, usize) -> (usize, usize)| {
        let at = |index: usize| {
            let (x, y) = of(index % width, index / width);
            map[y * width + x]
        };
        (0..map.len()).map(at).collect::<Vec<f64>>()
    };
    [
        fit(&light, &map, width),
        fit(&light, &turned(&|x, y| (width - 1 - x, y)), width),
        fit(&light, &turned(&|x, y| (x, height - 1 - y)), width),
        fit(&light, &turned(&|x, y| (width - 1 - x, height - 1 - y)), width),
    ]
}

#[test]
fn depth_lies_on_the_picture_as_it_is_read() {
    let Some(root) = data("rgbd") else { return };
    let frame = |number| Options { frame: Some(number), ..Options::default() };
    let mut asked: Vec<(String, Options)> = Vec::new();
    for number in (0..=360).step_by(40) {
        asked.push(("record3d-export".to_owned(), frame(number)));
    }
    for number in [0, 9, 18, 30, 39, 48, 57, 66, 75, 84] {
        asked.push(("3dscannerapp-lowres".to_owned(), frame(number)));
    }
    for number in [0, 20, 40, 60, 80] {
        let file = format!("standardcyborg-truedepth/frame-{number:03}.ply.gz");
        asked.push((file, Options::default()));
    }
    for (path, options) in asked {
        let name = format!("{path} {:?}", options.frame);
        let imported =
            import(&root.join(path), options).unwrap_or_else(|why| panic!("{name}: {why}"));
        let Capture::Frame(frame) = imported.capture else { panic!("{name} is a frame") };
        let [as_read, mirrored, flipped, turned] = fits(&frame);
        tell(&format!("{name}: {as_read:.3}, {mirrored:.3} {flipped:.3} {turned:.3}"));
        assert!(
            as_read > mirrored && as_read > flipped && as_read > turned,
            "{name}: {as_read} as read, {mirrored} mirrored, {flipped} flipped, {turned} turned"
        );
    }
}
