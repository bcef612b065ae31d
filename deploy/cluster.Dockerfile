# The image of every node of a Ray cluster: Ray's own, whose version and Python the driver must
# share, with anomalist in it.
FROM rayproject/ray:2.60.0-py311

# Torch for processors alone: for GPUs begin with rayproject/ray:2.60.0-py311-gpu and leave this out.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch torchvision
COPY --chown=ray pyproject.toml README.md LICENSE /tmp/anomalist/
COPY --chown=ray src /tmp/anomalist/src
RUN pip install --no-cache-dir '/tmp/anomalist[cluster]' && rm -r /tmp/anomalist
