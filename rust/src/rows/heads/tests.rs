//! Heads of attention on the portable path and on that of the processor.

use super::*;

#[test]
fn heads_are_the_same_with_and_without_instructions_for_them() {
    for (tokens, pools) in [(1, false), (2, false), (2, true)] {
        let heads = Heads {
            tokens: 4,
            parts: 3,
            normed: 2,
            heads: 2,
            width: 22,
            pooling: Pooling {
                tokens,
                are_neighbours: pools,
            },
            epsilon: 1e-3,
        };
        let wave = |count: u16, step: f32| {
            let numbers = (0..count).map(|number| (f32::from(number) * step).sin());
            numbers.collect::<Vec<_>>()
        };
        let (data, turns) = (wave(4 * 132, 0.7), wave(4 * 44, 1.1));
        let projection = Matrix {
            data: &data,
            stride: 132,
        };
        let turns = Some(&turns[..]);
        let (mut outs, mut gradients) = (Vec::new(), Vec::new());
        for is_fused in [true, false] {
            let mut out = [0, 1, 2].map(|part| vec![f32::NAN; heads.tokens_of(part) * 44]);
            let forward = Forward {
                projection,
                heads,
                turns,
                out: out.iter_mut().map(|out| &mut out[..]).collect(),
            };
            let g = [0, 1, 2].map(|part| Strided {
                data: &data,
                strides: [0, heads.tokens_of(part) * 22, 22],
            });
            let mut gradient = vec![f32::NAN; data.len()];
            let backward = Backward {
                projection,
                heads,
                turns,
                g: &g,
                of_projection: &mut gradient,
            };
            if is_fused {
                accelerated(forward);
                accelerated(backward);
            } else {
                forward.run::<false>();
                backward.run::<false>();
            }
            outs.push(out.concat());
            gradients.push(gradient);
        }
        for both in [outs, gradients] {
            let pairs = both[0].iter().zip(&both[1]);
            assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));
        }
    }
}
