//! Networks of one form that answer together, and how sure their answer is.

use burn::{
    module::{Module, Param},
    store::{BurnpackStore, HalfPrecisionAdapter, ModuleSnapshot, ModuleStore},
    tensor::{Device, Tensor},
};

use super::{
    evidence::EVIDENCE,
    model::{Network, Size},
};

/// A picture is looked at as it is and mirrored: more members than looks would have nothing to do.
pub(crate) const MEMBERS_MAX: usize = 2;

/// One network, or two that were trained from starts of their own and so err in different places.
#[derive(Module, Debug)]
pub(crate) struct Ensemble {
    members: Vec<Network>,
    /// What turns the evidence of a picture into the probability of a wound: a factor for each number, and
    /// the intercept.
    calibration: Param<Tensor<1>>,
}

impl Ensemble {
    /// Networks that are not yet calibrated: the first number of the evidence stands for itself.
    pub(crate) fn new(members: Vec<Network>, device: &Device) -> Self {
        let mut calibration = [0.0; EVIDENCE + 1];
        calibration[0] = 1.0;
        Self { members, calibration: Param::from_tensor(Tensor::from_floats(calibration, device)) }
    }

    /// As many networks as the weights are of, with these weights.
    pub(crate) fn load(store: BurnpackStore, device: &Device) -> Result<Self, String> {
        // Files of one network alone, as they were at first and as registries may hold them, name no member.
        let mut store = store
            .with_from_adapter(HalfPrecisionAdapter::new())
            .with_remap_pattern(r"^(encoder|decoder|head)\.", "members.0.${1}.");
        let names = store.keys().map_err(|error| error.to_string())?;
        let is_of = |member: usize, name: &String| name.starts_with(&format!("members.{member}."));
        let count = (0..).take_while(|it| names.iter().any(|name| is_of(*it, name))).count();
        if !(1..=MEMBERS_MAX).contains(&count) {
            return Err(format!(
                "they are of {count} networks, and 1 to {MEMBERS_MAX} can be used"
            ));
        }
        let member = |member| {
            let of = format!("members.{member}.");
            let size = Size::of(names.iter().filter_map(|name| name.strip_prefix(&of)))?;
            Ok(Network::new(size, device))
        };
        let members = (0..count).map(member).collect::<Result<_, String>>()?;
        let mut ensemble = Self::new(members, device);
        ensemble.load_from(&mut store).map_err(|error| error.to_string())?;
        Ok(ensemble)
    }

    /// Whose turn it is in a look: one member has every turn, two alternate.
    pub(crate) fn member(&self, turn: usize) -> &Network {
        &self.members[turn % self.members.len()]
    }

    /// The factors of the calibration, the intercept last.
    pub(crate) fn calibration(&self) -> Vec<f32> {
        self.calibration.val().into_data().try_into_vec().expect("the calibration is in f32")
    }

    /// The same networks, calibrated otherwise.
    #[cfg(any(test, feature = "training"))]
    pub(crate) fn calibrated(mut self, calibration: &[f32], device: &Device) -> Self {
        let calibration = Tensor::<1>::from_floats(calibration, device);
        self.calibration = Param::initialized(self.calibration.id, calibration);
        self
    }

    /// The same networks with each logit `slope` times as large.
    #[cfg(any(test, feature = "training"))]
    pub(crate) fn rescale(mut self, slope: f32) -> Self {
        self.members = self.members.into_iter().map(|member| member.rescale(slope)).collect();
        self
    }

    /// The same function without batch norms, for looking only.
    pub(crate) fn folded(mut self) -> Self {
        self.members = self.members.into_iter().map(Network::folded).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use burn::{nn::conv::Conv2d, tensor::Bytes};

    use super::*;
    use crate::network::model::{Encoder, Refine};

    /// Weights as they were written when there was one network.
    #[derive(Module, Debug)]
    struct Alone {
        encoder: Encoder,
        decoder: Vec<Refine>,
        head: Conv2d,
        calibration: Param<Tensor<1>>,
    }

    /// Networks of every size in turn.
    fn networks(count: usize, device: &Device) -> Ensemble {
        let sizes = Size::ALL.into_iter().cycle().take(count);
        Ensemble::new(sizes.map(|size| Network::new(size, device).valid()).collect(), device)
    }

    fn stored(module: &impl ModuleSnapshot) -> BurnpackStore {
        let mut store =
            BurnpackStore::from_bytes(None).with_to_adapter(HalfPrecisionAdapter::new());
        module.save_into(&mut store).expect("weights");
        let bytes = store.get_bytes().expect("bytes");
        BurnpackStore::from_bytes(Some(Bytes::from_bytes_vec(bytes.to_vec())))
    }

    fn sum(network: &Network, device: &Device) -> f32 {
        let input = Tensor::ones([1, 3, 32, 32], device);
        network.forward(input).sum().into_scalar::<f32>()
    }

    #[test]
    fn a_file_says_how_many_networks_it_is_of() {
        let device = Device::flex();
        for (count, second) in [(1, 0), (2, 1)] {
            let ensemble =
                Ensemble::load(stored(&networks(count, &device)), &device).expect("loads");
            assert_eq!(ensemble.members.len(), count);
            let answers: Vec<_> = ensemble.members.iter().map(|it| sum(it, &device)).collect();
            let turns = [0, 1, 2].map(|turn| sum(ensemble.member(turn), &device));
            assert_eq!(turns, [answers[0], answers[second], answers[0]]);
        }
        for count in [0, MEMBERS_MAX + 1] {
            let of_many = stored(&networks(count, &device));
            let refused = Ensemble::load(of_many, &device).expect_err("refused");
            assert!(refused.contains(&count.to_string()), "{refused}");
        }
    }

    #[test]
    fn weights_of_the_time_of_one_network_load() {
        let device = Device::flex();
        let ensemble = networks(1, &device).calibrated(&[0.5, 0.25, -1.0], &device);
        let Network { encoder, decoder, head, .. } = ensemble.member(0).clone();
        let alone = Alone { encoder, decoder, head, calibration: ensemble.calibration.clone() };
        let loaded = Ensemble::load(stored(&alone), &device).expect("loads");
        let [before, after] = [&ensemble, &loaded].map(|it| sum(it.member(0), &device));
        assert!((before - after).abs() < 0.1 * before.abs(), "{before} {after}");
        assert_eq!(loaded.calibration(), ensemble.calibration());
    }

    #[test]
    fn every_member_is_rescaled_and_the_calibration_kept() {
        let device = Device::flex();
        let ensemble = networks(2, &device).calibrated(&[0.5, 0.25, -1.0], &device);
        let input = Tensor::<4>::ones([1, 3, 32, 32], &device);
        let expected = [0, 1].map(|turn| ensemble.member(turn).forward(input.clone()) * 2.0);
        let rescaled = ensemble.rescale(2.0);
        for (turn, expected) in expected.into_iter().enumerate() {
            let apart = rescaled.member(turn).forward(input.clone()) - expected;
            assert!(apart.abs().max().into_scalar::<f32>() < 1e-3);
        }
        assert_eq!(rescaled.calibration(), [0.5, 0.25, -1.0]);
    }
}
