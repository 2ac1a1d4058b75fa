"""A static edition: pages as a folder that any web host serves, made of the pages themselves."""

from .build import PAGES as PAGES
from .build import build as build
