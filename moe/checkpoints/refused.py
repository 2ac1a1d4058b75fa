"""Types of the reference library that have experts and do not load, and why."""

# What the layers of these types have that no row of the table says.
REFUSED = {
    "axk1": "a norm of the block's result inside the block",
    "axk2": "norms with a small network inside, and latent queries shared with a gate",
    "deepseek": "layers that the reference library never had; nobody has compared one",
    "diffusion_gemma_text": "as `gemma4_text`",
    "doge": "experts that are rows of a table, found by product keys",
    "dots3_note_vision_encoder": "experts for pictures",
    "ernie4_5_vl_moe_text": "two sets of experts, for text and for pictures, one for each token",
    "gemma4_text": "a gate and experts that get the residual each through a norm of its own",
    "grok": "layers that the reference library never had; nobody has compared one",
    "inkling_text": "shared experts that are weighed with the routed ones",
    "inkling2_text": "scores by an option; nobody has compared it",
    "inkling2_loop_text": "as `inkling2_text`, with layers that repeat",
    "jetmoe": "experts in attention too, and a bias on what the block returns",
    "kolibri1": "a bias that is added to logits, not to scores",
    "mistral_large4_text": "nothing of its own in the block; nobody has compared it",
    "muse_spark_text": "experts in a narrower space, with a norm on the way",
    "nllb-moe": "the library takes its mask of choices for indices and runs experts 0 and 1 alone",
    "qwen3_omni_moe_talker_text": "a part that speaks; its thinker loads",
    "step3p5": "clamped experts in some layers",
    "switch_transformers": "`expert_capacity` places for each expert in a sequence, and no more",
    "vitpose_backbone": "experts chosen by the data set, no gate",
    "zaya": "a gate that is a network with a memory of the layer before",
}
