//! How an operation is run: timed by criterion, listed, or repeated for whoever counts its instructions.

use criterion::{BatchSize, BenchmarkId, Criterion};
use std::hint::black_box;

/// So many inputs are made for a repetition however often it is repeated: what making them takes is in the difference of no two runs.
const INPUTS: usize = 128;

pub(crate) enum Bench {
    Timed(Box<Criterion>),
    Listed,
    Repeated { wanted: String, times: usize },
}

impl Bench {
    pub(crate) fn from_arguments() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["operations"] => Self::Listed,
            ["repeat", wanted, times] => {
                let times = times.parse().unwrap();
                assert!(times <= INPUTS, "at most {INPUTS} times");
                Self::Repeated { wanted: String::from(*wanted), times }
            }
            _ => Self::Timed(Box::new(Criterion::default().configure_from_args())),
        }
    }

    /// An operation of ours. What `input` and dropping the output take does not count as time.
    pub(crate) fn ours<I, O>(&mut self, operation: &str, mut input: impl FnMut() -> I, mut routine: impl FnMut(I) -> O) {
        match self {
            Self::Timed(_) => self.time(operation, "ours", input, routine),
            Self::Listed => println!("{operation}"),
            Self::Repeated { wanted, times } if wanted == operation => {
                let inputs: Vec<I> = (0..INPUTS).map(|_| input()).collect();
                for input in inputs.into_iter().take(*times) {
                    black_box(routine(black_box(input)));
                }
                // Whatever a longer or shorter run would leave to be dropped stays where it is.
                std::process::exit(0);
            }
            Self::Repeated { .. } => {}
        }
    }

    /// The same on a stock crate. Its instructions are nobody's to keep.
    pub(crate) fn stock<I, O>(&mut self, operation: &str, whose: &str, input: impl FnMut() -> I, routine: impl FnMut(I) -> O) {
        self.time(operation, whose, input, routine);
    }

    fn time<I, O>(&mut self, operation: &str, whose: &str, mut input: impl FnMut() -> I, mut routine: impl FnMut(I) -> O) {
        let Self::Timed(criterion) = self else { return };
        let mut group = criterion.benchmark_group(operation);
        group.bench_function(BenchmarkId::from_parameter(whose), |bencher| {
            bencher.iter_batched(&mut input, &mut routine, BatchSize::SmallInput);
        });
        group.finish();
    }

    pub(crate) fn end(self) {
        match self {
            Self::Timed(criterion) => criterion.final_summary(),
            Self::Listed => {}
            Self::Repeated { wanted, .. } => panic!("there is no operation {wanted}"),
        }
    }
}
