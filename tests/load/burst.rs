//! Many jobs at once: each is a process of the action that requests a token.
//!
//! Time is scaled: the window of the limit, `timeout`, and the time of one exchange are all shorter by the
//! same factor. The backoff of the action and the seconds of `x-ratelimit-reset` are not scaled, which makes
//! it harder for the action.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fake_port::{Decision, Exchange, FakePort, Flow, RateLimit};
use runner_double::{Finished, Job, Phase};

use crate::{is_full, program, turn};

/// How long a job may take longer than its `timeout`: the start of all processes on a slow machine.
const SLACK: Duration = Duration::from_mins(2);

/// Many jobs at once.
struct Burst {
    jobs: usize,
    flow: Flow,
    limit: RateLimit,
    timeout: Duration,
}

/// A job that has ended.
struct Ended {
    run: Finished,
    duration: Duration,
}

/// What happened.
struct Outcome {
    jobs: Vec<Ended>,
    exchanges: Vec<Exchange>,
    token: String,
}

impl Burst {
    /// 1,000 jobs in full. Otherwise 60, with a limit of as large a part of the jobs.
    fn scaled(flow: Flow, scale: u32, timeout: Duration) -> Self {
        let limit = RateLimit::of(flow);
        let (jobs, part) = if is_full() { (1000, 1) } else { (60, 16) };
        Self {
            jobs,
            flow,
            limit: RateLimit {
                most: limit.most / part,
                window: limit.window / scale,
                service_time: Duration::from_millis(200) / scale,
                ..limit
            },
            timeout: timeout / scale,
        }
    }

    /// Other jobs have used up the limit: it is free again after this time, before scaling.
    fn used_up_for(mut self, time: Duration, scale: u32) -> Self {
        self.limit.free_at = Some(Instant::now() + time / scale);
        self
    }

    fn run(self) -> Outcome {
        let port = FakePort::builder().rate_limit(self.flow, self.limit);
        let port = port.start();
        let timeout = format!("{}s", self.timeout.as_secs());
        let method = match self.flow {
            Flow::Rest => "api",
            Flow::Oauth => "oauth",
        };
        let inputs = [
            ("allowed_tools", "list_blueprints"),
            ("api_url", port.api_url()),
            ("auth_method", method),
            ("client_id", port.client_id()),
            ("client_secret", port.client_secret()),
            ("mcp_url", port.mcp_url()),
            ("timeout", &timeout),
            ("verify", "false"),
        ];
        let job = || {
            let started = Instant::now();
            let job = Job::new();
            let run = job.step(&program(), Phase::Main, &inputs);
            let duration = started.elapsed();
            Ended { run, duration }
        };
        let jobs: Vec<Ended> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.jobs).map(|_| scope.spawn(job)).collect();
            let ended = threads.into_iter().map(|thread| thread.join().unwrap());
            ended.collect()
        });
        let latest = self.timeout + SLACK;
        for job in &jobs {
            assert!(job.duration < latest, "{:?} > {latest:?}", job.duration);
        }
        let outcome = Outcome {
            jobs,
            exchanges: port.exchanges(self.flow),
            token: port.token(self.flow),
        };
        outcome.check();
        outcome
    }
}

impl Outcome {
    /// Every job has the token, or the error with its hint, and each accepted exchange belongs to a job.
    fn check(&self) {
        for Ended { run, .. } in &self.jobs {
            if run.exit == Some(0) {
                assert_eq!(run.outputs["access_token"], self.token);
                continue;
            }
            let errors: Vec<_> = run.commands_of("error").collect();
            assert_eq!((run.exit, errors.len()), (Some(1), 1), "{}", run.log());
            let text = &errors[0].data;
            let is_rate_limit = text.starts_with("Port's rate limit was exceeded (429 ");
            let is_known = is_rate_limit || is_cut_off(text);
            assert!(is_known && text.contains("\nhint: "), "{text}");
        }
        let accepted = self.count(Decision::Accepted);
        assert!(accepted >= self.succeeded());
        if self.had_no_timeouts() {
            assert_eq!(accepted, self.succeeded());
        }
    }

    /// The jobs whose last attempt had no response before the end of `timeout`: a slow machine.
    fn cut_off(&self) -> usize {
        let errors = self
            .jobs
            .iter()
            .flat_map(|job| job.run.commands_of("error"));
        errors.filter(|error| is_cut_off(&error.data)).count()
    }

    fn succeeded(&self) -> usize {
        let exits = self.jobs.iter().map(|job| job.run.exit);
        exits.filter(|exit| *exit == Some(0)).count()
    }

    fn count(&self, decision: Decision) -> usize {
        let decisions = self.exchanges.iter().map(|exchange| exchange.decision);
        decisions.filter(|known| *known == decision).count()
    }

    /// Whether each job used one connection, as it does unless the machine is so slow that a response takes
    /// longer than the action waits for it.
    fn had_no_timeouts(&self) -> bool {
        self.by_connection().len() == self.jobs.len() && self.cut_off() == 0
    }

    /// The exchanges by connection: those of a job, unless a response takes too long.
    fn by_connection(&self) -> BTreeMap<u64, Vec<Exchange>> {
        let mut jobs: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for exchange in &self.exchanges {
            jobs.entry(exchange.connection).or_default().push(*exchange);
        }
        jobs
    }

    /// For each retry after a requested wait: when it arrived, how long after the end of the wait, and the
    /// wait.
    fn retries(&self) -> Vec<(Instant, Duration, Duration)> {
        let mut retries = Vec::new();
        for exchanges in self.by_connection().values() {
            for pair in exchanges.windows(2) {
                if let Decision::UsedUp { reset } = pair[0].decision {
                    let wait = Duration::from_secs(reset);
                    let after = (pair[1].at - pair[0].at).checked_sub(wait);
                    let after = after.expect("no retry is sent before the end of the wait");
                    retries.push((pair[1].at, after, wait));
                }
            }
        }
        retries
    }

    /// The minimum is one request for each job. No job sends more than twice as many, except those after too
    /// many at once, to which the window did not apply.
    fn assert_few_requests(&self) {
        for exchanges in self.by_connection().values() {
            let decisions = exchanges.iter().map(|exchange| exchange.decision);
            let counted = decisions.filter(|decision| *decision != Decision::TooManyAtOnce);
            assert!(counted.count() <= 2, "{exchanges:?}");
        }
    }

    /// Checks that retries are spread over a quarter of the requested wait after its end.
    ///
    /// A slow machine delays retries, but none is ever too early. So the first tenth of this time says the
    /// same on every machine: at most a tenth of the retries are expected in it. That 40% of 50 retries are in
    /// it by chance has a probability below one in 10 million. Without a random time, all retries of a fast
    /// machine are in it.
    fn assert_spread(&self) {
        let retries = self.retries();
        let is_early = |(_, after, wait): &&(_, Duration, Duration)| *after < *wait / 40;
        let early = retries.iter().filter(is_early).count();
        let is_spread = retries.len() < 50 || early * 10 <= retries.len() * 4;
        assert!(is_spread, "{early} of {} in a tenth", retries.len());
    }

    fn report(&self, name: &str) {
        let retries = self.retries();
        let arrivals: Vec<Instant> = retries.iter().map(|(at, ..)| *at).collect();
        let first = arrivals.iter().min().copied();
        let period = first.map_or(Duration::ZERO, |first| {
            *arrivals.iter().max().unwrap() - first
        });
        let mut slices = [0_usize; 100];
        for at in &arrivals {
            let part = (*at - first.unwrap()).as_micros() * 99 / period.as_micros().max(1);
            slices[usize::try_from(part).unwrap()] += 1;
        }
        let longest = self.jobs.iter().map(|job| job.duration).max();
        let starts = self.by_connection();
        let starts = starts.values().map(|exchanges| exchanges[0].at);
        println!(
            "{name}: {} jobs, {} with a token, {} cut off by `timeout`; {} requests over {} connections, {} of them rejected because of too many at once; \
             first requests within {:.1?}; {} retries after a requested wait, within {period:.1?}, at most {} \
             in 1% of this time; longest job {:.1?}",
            self.jobs.len(),
            self.succeeded(),
            self.cut_off(),
            self.exchanges.len(),
            self.by_connection().len(),
            self.count(Decision::TooManyAtOnce),
            starts.clone().max().unwrap() - starts.min().unwrap(),
            retries.len(),
            slices.iter().max().unwrap(),
            longest.unwrap(),
        );
    }
}

/// Whether an error is that of a further attempt, to which there was no response in time.
fn is_cut_off(error: &str) -> bool {
    error.starts_with("no response within ") && error.contains(" attempts)\n")
}

/// The limit is used up when the jobs start. Scale: 5 in full, otherwise 30.
#[test]
fn api_after_other_jobs() {
    let _turn = turn();
    let scale = if is_full() { 5 } else { 30 };
    let burst = Burst::scaled(Flow::Rest, scale, Duration::from_mins(5));
    let outcome = burst.used_up_for(Duration::from_secs(100), scale).run();
    outcome.report("api, after other jobs");
    outcome.assert_few_requests();
    outcome.assert_spread();
}

/// As [`api_after_other_jobs`]. Scale: 5 in full, otherwise 100.
#[test]
fn oauth_after_other_jobs() {
    let _turn = turn();
    let scale = if is_full() { 5 } else { 100 };
    let burst = Burst::scaled(Flow::Oauth, scale, Duration::from_mins(10));
    let outcome = burst.used_up_for(Duration::from_mins(5), scale).run();
    outcome.report("oauth, after other jobs");
    outcome.assert_few_requests();
    outcome.assert_spread();
}

/// No job has used the limit. With the default `timeout`, a job that the limit rejects cannot wait for the end
/// of the window. Scale: 5.
#[test]
fn api_and_oauth_alone() {
    let _turn = turn();
    for (flow, name) in [(Flow::Rest, "api"), (Flow::Oauth, "oauth")] {
        let most = if is_full() { 1 } else { 16 };
        let most = RateLimit::of(flow).most / most;
        let outcome = Burst::scaled(flow, 5, Duration::from_mins(1)).run();
        outcome.report(&format!("{name}, alone"));
        outcome.assert_few_requests();
        assert!(outcome.succeeded() >= most || !outcome.had_no_timeouts());
    }
}

/// Within the window, only the limit of requests at once applies, and every job gets its token. Not scaled.
#[test]
fn a_matrix_at_once() {
    let _turn = turn();
    let burst = Burst {
        jobs: if is_full() { 100 } else { 60 },
        flow: Flow::Rest,
        limit: RateLimit {
            service_time: Duration::from_millis(200),
            ..RateLimit::of(Flow::Rest)
        },
        timeout: Duration::from_mins(1),
    };
    let outcome = burst.run();
    outcome.report("api, a matrix");
    assert_eq!(outcome.succeeded(), outcome.jobs.len());
}
