"""stub."""
from aerec.data.readers import Ratings  # noqa
